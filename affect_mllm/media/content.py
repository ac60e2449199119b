"""The content of media by hash: equal bytes are equal, whatever a file or folder is called."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from affect_mllm.log import LOGGER
from affect_mllm.media.folder import entries
from affect_mllm.media.refusals import unreadable

KNOWN = 200_000  # hashes that a process holds; the others are asked for


def content_hash(path: Path) -> str:
    """sha256 in hex of a file's bytes, or of the names and bytes of a folder's files, litter aside.

    DataError when it cannot be read.
    """
    try:
        if path.is_dir():
            digest = hashlib.sha256()
            for each in entries(path):
                digest.update(f"{each.name}\0{content_hash(each)}\0".encode())
            return digest.hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def size_of(path: Path) -> int:
    """Bytes of a file, or of a folder's files together; 0 where there is none."""
    try:
        if path.is_dir():
            return sum(size_of(each) for each in entries(path))
        return path.stat().st_size
    except OSError:
        return 0


def version_of(path: Path) -> str:
    """Size and time of change of a file, or of a folder's files with their names. DataError."""
    try:
        if path.is_dir():
            parts = (f"{each.name}\0{version_of(each)}" for each in entries(path))
            return hashlib.sha256("\0".join(parts).encode()).hexdigest()
        stat = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return f"{stat.st_size} {stat.st_mtime_ns}"


class ContentIndex:
    """Hashes of media files, remembered by path, size and time of change in a small database.

    So a file is read for its hash once, not in every process of every run; what else was found
    out about a file lies beside it (`told`). The database is only a memory: when it cannot be
    used, files are read again.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._known: dict[tuple[str, str], str] = {}
        self._local = threading.local()

    def __getstate__(self) -> dict[str, Path]:
        """Connections stay in the process that opened them."""
        return {"file": self.file}

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__init__(state["file"])

    def of(self, path: Path) -> str:
        """The content of a file, or of a folder's files with their names. Raises DataError."""
        try:
            if path.is_dir():
                parts = (f"{each.name}\0{self.of(each)}" for each in entries(path))
                return hashlib.sha256("\0".join(parts).encode()).hexdigest()
        except OSError as error:
            raise unreadable(path, error) from error
        return self.remembered(str(path.absolute()), version_of(path), lambda: content_hash(path))

    def remembered(self, name: str, version: str, make: Callable[[], str]) -> str:
        """The hash known for `name` at `version`, or what `make` returns, from now on known."""
        key = (name, version)
        if key not in self._known:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[key] = self.told(name, version, make)
        return self._known[key]

    def told(self, name: str, version: str, make: Callable[[], str]) -> str:
        """The same of any text, which this process does not hold on to."""
        found = self._ask("SELECT hash FROM content WHERE name=? AND version=?", (name, version))
        if found is None:
            found = make()
            self._ask("REPLACE INTO content VALUES (?, ?, ?)", (name, version, found))
        return found

    def _ask(self, query: str, values: tuple[str, ...]) -> str | None:
        try:
            row = self._connection().execute(query, values).fetchone()
        except (sqlite3.Error, OSError) as error:  # OSError: no folder can be made for it
            LOGGER.debug("%s: %s", self.file, error)
            return None
        return None if row is None else str(row[0])

    def _connection(self) -> sqlite3.Connection:
        """One a thread and process: neither forks nor threads may share it."""
        if getattr(self._local, "owner", None) != os.getpid():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            made = sqlite3.connect(self.file, timeout=30, isolation_level=None)
            made.execute("PRAGMA synchronous=OFF")  # what a crash loses is hashed again
            made.execute(
                "CREATE TABLE IF NOT EXISTS content"
                " (name TEXT PRIMARY KEY, version TEXT, hash TEXT) WITHOUT ROWID"
            )
            self._local.owner, self._local.connection = os.getpid(), made
        return self._local.connection
