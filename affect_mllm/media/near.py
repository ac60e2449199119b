"""The file that was meant where there is none of the name that was given."""

from __future__ import annotations

import unicodedata
from difflib import get_close_matches
from pathlib import Path


def near(path: Path) -> Path | None:
    """A file that is there and has nearly this name, or None.

    Windows' backslashes for slashes; letters with their accents apart or in one (macOS writes
    names in the first way, most others in the second); a slip in the last part.
    """
    slashed = Path(str(path).replace("\\", "/"))
    if slashed != path and slashed.is_file():
        return slashed
    folder = Path(slashed.anchor)
    for part in slashed.parts[1 if slashed.anchor else 0 :]:
        found = folder / part
        if not found.exists():
            same = _same(folder, part)
            if same is None:
                return _slip(folder, part) if part == slashed.name else None
            found = same
        folder = found
    return folder if folder.is_file() else None


def _same(folder: Path, name: str) -> Path | None:
    """The entry whose name is the same text in another Unicode form."""
    wanted = unicodedata.normalize("NFC", name)
    names = _names(folder)
    return next(
        (folder / each for each in names if unicodedata.normalize("NFC", each) == wanted), None
    )


def _slip(folder: Path, name: str) -> Path | None:
    close = get_close_matches(name, _names(folder), 1, cutoff=0.8)
    found = folder / close[0] if close else None
    return found if found is not None and found.is_file() else None


def _names(folder: Path) -> list[str]:
    try:
        return [each.name for each in folder.iterdir()]
    except OSError:
        return []
