"""The file that was meant where there is none of the name that was given."""

from __future__ import annotations

import os
import unicodedata
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

NAMES_COMPARED = 2000  # in a larger folder a slip is not looked for: it would take seconds


def near(path: Path, *, slips: bool = True, folders: bool = False) -> Path | None:
    """A file that is there and has nearly this name, or None; with `folders` a folder, too.

    Windows' backslashes for slashes; letters with their accents apart or in one (macOS writes
    names in the first way, most others in the second). With `slips` also a slip in the last part,
    which takes reading a folder; the others take a look per part.
    """
    folder, parts = Path(path.anchor), list(path.parts[1 if path.anchor else 0 :])
    while parts:
        part = parts.pop(0)
        found = _same(folder, part)
        if found is None and "\\" in part:
            parts = [each for each in part.split("\\") if each] + parts
            continue
        if found is None:
            return _slip(folder, part, folders) if slips and not parts else None
        folder = found
    return folder if folder.is_file() or (folders and folder.is_dir()) else None


def _same(folder: Path, name: str) -> Path | None:
    """What is there under this name or the same text in another Unicode form."""
    forms = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
    return next((folder / each for each in forms if os.path.exists(folder / each)), None)


def _slip(folder: Path, name: str, folders: bool) -> Path | None:
    names = _names(folder)
    close = get_close_matches(name, names, 1, cutoff=0.8) if len(names) <= NAMES_COMPARED else []
    found = folder / close[0] if close else None
    return found if found is not None and (found.is_file() or folders) else None


def _names(folder: Path) -> list[str]:
    """The names in a folder, or one more of them than are compared."""
    try:
        with os.scandir(folder) as entries:
            return [each.name for each in islice(entries, NAMES_COMPARED + 1)]
    except OSError:
        return []
