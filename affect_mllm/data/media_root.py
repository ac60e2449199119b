"""Where the paths of a manifest start: its own folder, or one that a file beside it names.

`NAME.jsonl.media_root.json` holds `{"media_root": "/data/mer"}`. So the manifest of a read-only
data set can lie elsewhere; its paths are relative to that folder and, as always, stay below it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from affect_mllm.types import DataError

ENDING = ".media_root.json"
KEY = "media_root"


def sidecar(manifest: Path) -> Path:
    """The file that names the folder of a manifest's media."""
    return manifest.with_name(manifest.name + ENDING)


def root_of(manifest: Path) -> Path:
    """The folder that the manifest's paths start from.

    DataError for a file beside it that names no folder, a relative one, or the whole disk.
    """
    path = sidecar(manifest)
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return manifest.parent
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror}") from error
    try:
        named = json.loads(text)[KEY]
        root = Path(named)
        real = Path(os.path.realpath(root))
        usable = root.is_absolute() and real != Path(real.anchor) and real.is_dir()
    except (ValueError, KeyError, TypeError) as error:
        raise _wrong(path, text.strip()[:80]) from error
    if not usable:
        raise _wrong(path, named)
    return root


def place(manifest: Path, root: Path | None) -> None:
    """Say where the media of a manifest are that is about to be written; None: beside it."""
    path = sidecar(manifest)
    if root is None:
        path.unlink(missing_ok=True)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps({KEY: os.path.abspath(root)}, ensure_ascii=False) + "\n")
    os.replace(temporary, path)


def elsewhere(media: Path, manifest: Path) -> Path | None:
    """What to name as `place` does: None where it lies above the media."""
    inside = media.resolve().is_relative_to(manifest.parent.resolve())
    return None if inside else media


def _wrong(path: Path, got: object) -> DataError:
    return DataError(
        str(path),
        f"{KEY} {got}",
        expected=f'{{"{KEY}": "/an/absolute/folder"}} that is there and not the whole disk',
        fix="make the manifest again with --media-root, or write the folder's present place",
    )
