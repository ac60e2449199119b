"""Why a file that a manifest names is not found although its owner sees it: a few words."""

from __future__ import annotations

import unicodedata
from pathlib import Path


def missing_hint(root: Path, value: str) -> str:
    """What to write instead of the path `value` below `root`, in brackets; "" for no idea."""
    slashes = value.replace("\\", "/")
    if slashes != value:
        if (root / slashes).exists():
            return f" (it is there as {slashes}: write / instead of Windows' \\)"
        return " (write / between folders, not Windows' \\)"
    for form in ("NFC", "NFD"):
        other = unicodedata.normalize(form, value)
        if other != value and (root / other).exists():
            return (
                f" (it is there in Unicode form {form}, which looks the same: rename one of them)"
            )
    return ""
