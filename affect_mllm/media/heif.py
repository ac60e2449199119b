"""HEIC and AVIF pictures: pillow reads them where it was built so, or a plugin teaches it."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from affect_mllm.media.container import is_still
from affect_mllm.types import DataError


def admit(path: Path) -> None:
    """Make pillow read the HEIC or AVIF picture `path`; others are left alone.

    DataError that names the format where nothing here reads it.
    """
    if not is_still(path):
        return
    with path.open("rb") as file:
        size = int.from_bytes(file.read(4), "big")
        avif = b"avif" in file.read(min(size, 256))  # among the brands, if not as the first
    if avif and _pillow_reads_avif():
        return
    if not avif and importlib.util.find_spec("pillow_heif") is not None:
        importlib.import_module("pillow_heif").register_heif_opener()
        return
    raise DataError(
        str(path),
        f"a picture in {'AVIF' if avif else 'HEIC'}, which nothing installed here reads",
        expected="a complete jpg or png",
        fix="convert it to jpg or png, or "
        + ("pip install 'pillow>=11.3'" if avif else "pip install 'affect-mllm[heic]'"),
    )


def _pillow_reads_avif() -> bool:
    from PIL import features

    return bool(features.check("avif"))
