"""Where the paths of a manifest start: its own folder, or one that a file beside it names.

`NAME.jsonl.media_root.json` holds `{"media_root": "/data/mer"}`. So the manifest of a read-only
data set can lie elsewhere; its paths are relative to that folder and, as always, stay below it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from affect_mllm.media.refusals import unreadable
from affect_mllm.types import DataError

ENDING = ".media_root.json"
KEY = "media_root"
CUT_OFF = {KEY: None, "because": "the manifest was being written"}


def sidecar(manifest: Path) -> Path:
    """The file that names the folder of a manifest's media."""
    return manifest.with_name(manifest.name + ENDING)


def root_of(manifest: Path, *, there: bool = True) -> Path:
    """The folder that the manifest's paths start from, which is `there` unless nobody will look.

    DataError for a file beside it that names no folder, a relative one, or the whole disk, and for
    a manifest whose writing was cut off.
    """
    path = sidecar(manifest)
    try:
        text = _read(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if text is None:
        return manifest.parent
    try:
        said = json.loads(text)
        if said == CUT_OFF:
            raise _cut_off(path)
        named = said[KEY]
        root = Path(named)
        real = Path(os.path.realpath(root))
        usable = root.is_absolute() and real != Path(real.anchor)
        usable &= real.is_dir() or not there
    except (ValueError, KeyError, TypeError) as error:
        raise _wrong(path, text.strip()[:80].decode(errors="backslashreplace")) from error
    if not usable:
        raise _wrong(path, named)
    return root


def replace(temporary: Path, manifest: Path, root: Path | None) -> None:
    """Put `temporary` in the manifest's place and say where its media are; None: beside it.

    While both change, the file beside it names no folder: a manifest whose writing is cut off there
    is refused, never read from another folder. A failure leaves both as they were.
    """
    path = sidecar(manifest)
    old, new = _read(path), None if root is None else _text({KEY: os.path.abspath(root)})
    if old == new:
        os.replace(temporary, manifest)
        return
    put(path, _text(CUT_OFF))
    try:
        os.replace(temporary, manifest)
    except BaseException:
        if temporary.exists():  # else the new manifest is there, to which the old folder is wrong
            put(path, old)
        raise
    put(path, new)


def _text(named: dict[str, str | None]) -> bytes:
    """In ASCII: a folder's name need not be UTF-8."""
    return json.dumps(named).encode() + b"\n"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def put(path: Path, text: bytes | None) -> None:
    """Write a small file in one step; None takes it away."""
    if text is None:
        path.unlink(missing_ok=True)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(text)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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


def _cut_off(path: Path) -> DataError:
    return DataError(
        str(path),
        "the manifest's writing was cut off: its rows may be of one folder and its place another's",
        fix="make the manifest again; its file is whole, from before or after",
    )
