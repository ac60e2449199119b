"""What is in a folder of media, without what operating systems leave there."""

from __future__ import annotations

from pathlib import Path

# Of Windows and macOS. Whatever begins with a dot is hidden anyhow: .DS_Store, and ._0001.jpg,
# which macOS puts beside 0001.jpg in archives.
LITTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"})


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or was put there by an operating system."""
    return name.startswith(".") or name.lower() in LITTER


def entries(folder: Path) -> list[Path]:
    """The files and folders right in `folder`, by name, litter left out. Raises OSError."""
    return [each for each in sorted(folder.iterdir()) if not is_litter(each.name)]
