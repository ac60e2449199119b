"""Whether a row's media paths name what is there, beside the manifest or by URL."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PurePosixPath
from typing import Any

from affect_mllm.media.folder import is_litter
from affect_mllm.media.lfs import IS_POINTER, PULL, is_pointer
from affect_mllm.media.near import near
from affect_mllm.types import is_url

# Where media may lie besides the manifest's folder. `file` is not among them: a path says that.
URL_SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "hf", "http", "https", "memory")
JUDGED_PATHS = 50_000  # remembered, since the cuts of one source name the same file again and again


class PathCheck:
    """Judges media paths of one manifest; remembers folders, so that thousands are cheap."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real_root = os.path.realpath(root)
        self._inside: dict[str, bool] = {}
        self._judged: dict[tuple[str, str], str | None] = {}

    def problem(self, key: str, value: Any) -> str | None:
        """Why `value` cannot be the path of medium `key`; None if it is an existing file or a URL.

        `frames`, `faces` and `features` may be folders. Whether a URL's file exists is not asked.
        """
        if not isinstance(value, str) or not value.strip():
            return f"{key} must be a path relative to the manifest or a URL, got {value!r}"
        if is_url(value):
            return _url_problem(key, value)
        if PurePosixPath(value).is_absolute():
            return f"{key} must be relative to the manifest, got the absolute path {value}"
        if (key, value) not in self._judged:
            if len(self._judged) >= JUDGED_PATHS:
                self._judged.clear()
            self._judged[key, value] = self._look(key, value)
        return self._judged[key, value]

    def _look(self, key: str, value: str) -> str | None:
        try:
            return self._disk_problem(key, value, os.path.join(self._root, value))
        except (OSError, ValueError) as error:
            return f"{key} cannot be looked up: {value!r} ({error})"

    def _disk_problem(self, key: str, value: str, full: str) -> str | None:
        link = os.path.islink(full)
        inside = self._is_inside(full) if link else self._folder_is_inside(os.path.dirname(full))
        if not inside:
            return f"{key} leaves the manifest's folder: {value}"
        if os.path.isfile(full):
            if is_pointer(Path(full), os.path.getsize(full)):
                return f"{key} is {IS_POINTER}: {value} ({PULL})"
            return None
        if not os.path.isdir(full):
            return f"{key} is missing: {value}{self._hint(key, value)}"
        if _is_file_only(key):
            return f"{key} must be a file, got a folder: {value}"
        inside = [name for name in os.listdir(full) if not is_litter(name)]
        if not inside:
            return f"{key} is an empty folder: {value}"
        first = os.path.join(full, min(inside))
        if os.path.isfile(first) and is_pointer(Path(first), os.path.getsize(first)):
            return f"{key} has {IS_POINTER} in it: {value} ({PULL})"
        # A last component of `..` names a folder that its parent does not contain.
        return None if self._is_inside(full) else f"{key} leaves the manifest's folder: {value}"

    def _hint(self, key: str, value: str) -> str:
        """What to write instead of a path that names nothing, in brackets; "" for no idea."""
        meant = near(self._root / value, slips=False, folders=not _is_file_only(key))
        if meant is None or not self._is_inside(str(meant)):
            return " (write / between folders, not Windows' \\)" if "\\" in value else ""
        there = str(meant.relative_to(self._root))
        if "\\" in value:
            return f" (it is there as {there}: write / instead of Windows' \\)"
        form = "NFC" if unicodedata.is_normalized("NFC", there) else "NFD"
        return f" (it is there in Unicode form {form}, which looks the same: rename one of them)"

    def _folder_is_inside(self, folder: str) -> bool:
        if folder not in self._inside:
            self._inside[folder] = self._is_inside(folder)
        return self._inside[folder]

    def _is_inside(self, full: str) -> bool:
        real = os.path.realpath(full)
        return real == self._real_root or real.startswith(self._real_root.rstrip(os.sep) + os.sep)


def _is_file_only(key: str) -> bool:
    return key in ("video", "audio", "image") or key.startswith("features.")


def _url_problem(key: str, value: str) -> str | None:
    scheme = value.split("://")[0]
    if "::" in value or scheme not in URL_SCHEMES:
        return f"{key} must be a URL of {', '.join(URL_SCHEMES)}, got {value}"
    if key == "frames":
        return f"{key} must be a folder beside the manifest, got the URL {value}"
    return None
