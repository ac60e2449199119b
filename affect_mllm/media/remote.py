"""Media that a manifest names by URL: bounded local copies, shared by processes, never half there.

A copy is named by its URL and by what the store says of the object's version, so that a changed
object is fetched again. It appears by rename. Who reads one holds a shared lock on it, and what is
locked is not removed; the copies used longest ago go first.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pydantic import PositiveFloat

from affect_mllm.config import cache_dir
from affect_mllm.log import LOGGER
from affect_mllm.types import ConfigError, DataError, Sample, is_url

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
            "hf": "huggingface_hub", "http": "aiohttp", "https": "aiohttp"}  # fmt: skip
# What a store calls the version of an object, the most telling first.
VERSION_KEYS = ("ETag", "etag", "checksum", "sha256", "blob_id", "LastModified", "mtime", "created")
T = TypeVar("T")


@dataclass(frozen=True)
class MediaFiles:
    """Where a row's media are on this machine; those with a URL are copied there when used.

    `folder`: of the copies, by default in the user's cache. `max_gb`: their size together; a copy
    that is in use stays, and one larger than that is kept only while it is used. A transfer that
    fails is tried `attempts` times, with a pause that begins at `pause_s` and doubles.
    """

    folder: str | None = None
    max_gb: PositiveFloat = 50.0
    attempts: int = 3
    pause_s: float = 1.0
    _versions: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def root(self) -> Path:
        """The folder of the copies."""
        return Path(self.folder) if self.folder else cache_dir() / "media"

    @contextmanager
    def local(self, sample: Sample, kind: str) -> Iterator[Path]:
        """The path of a row's medium, to be used inside the `with`.

        Raises DataError when a URL cannot be fetched, ConfigError when its package is missing.
        """
        where = sample.media[kind]
        if not is_url(where):
            yield sample.root / where
            return
        with self.copy_of(where) as path:
            yield path

    def version(self, url: str) -> str:
        """What the store says of the object: equal means equal bytes. Asked once a process."""
        if url not in self._versions:
            info = self._try(url, lambda fs, path: fs.info(path))
            told = [f"{key}={info[key]}" for key in VERSION_KEYS if info.get(key) is not None]
            self._versions[url] = f"size={info.get('size')};{told[0] if told else ''}"
        return self._versions[url]

    @contextmanager
    def copy_of(self, url: str) -> Iterator[Path]:
        """A complete local copy that stays while the `with` lasts."""
        path = self._place(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        held = _hold(path)
        while held is None:
            with _lock(path.parent / "fetching.lock"):  # one download of an object at a time
                held = _hold(path)
                if held is None:
                    self._fetch(url, path)
                    held = _hold(path)
        try:
            yield path
        finally:
            os.close(held)
            self._make_room()

    def _place(self, url: str) -> Path:
        name = hashlib.sha256(f"{url}\0{self.version(url)}".encode()).hexdigest()
        return self.root / name[:2] / f"{name}{PurePosixPath(url.split('?')[0]).suffix.lower()}"

    def _fetch(self, url: str, path: Path) -> None:
        part = path.with_name(f".{path.name}.part")
        try:
            self._try(url, lambda fs, remote: fs.get_file(remote, str(part)))
            size, said = part.stat().st_size, self.version(url).split(";")[0]
            if said not in (f"size={size}", "size=None"):
                raise DataError(url, f"{size} bytes came", expected=said, fix="fetch it again")
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        with _lock(self.root / "size.lock"):
            (self.root / "size").write_text(str(_noted_size(self.root) + size))

    def _make_room(self) -> None:
        """Remove the copies used longest ago while all together are larger than `max_gb`."""
        root = self.root
        most = int(self.max_gb * 1e9)
        if _noted_size(root) <= most:
            return
        with _lock(root / "size.lock"):
            copies = [
                (each.stat(), each) for each in root.glob("??/[!.]*") if each.suffix != ".lock"
            ]
            total = sum(stat.st_size for stat, _ in copies)
            gone = 0
            for stat, path in sorted(copies, key=lambda each: each[0].st_mtime):
                if total <= most:
                    break
                if _remove_unused(path):
                    total -= stat.st_size
                    gone += 1
            (root / "size").write_text(str(total))
        if gone:
            LOGGER.info("media cache: %d copies removed, %.1f GB stay", gone, total / 1e9)

    def _try(self, url: str, act: Callable[[Any, str], T]) -> T:
        """`act` with the URL's file system, again where the failure may pass."""
        for attempt in range(1, self.attempts + 1):
            try:
                return act(*_file_system(url))
            except FileNotFoundError as error:
                raise DataError(url, "no such object", fix="correct the manifest") from error
            except PermissionError as error:
                raise DataError(url, f"access denied: {error}", fix="check credentials") from error
            except Exception as error:  # every store has exceptions of its own
                if _is_ours_or_full(error):
                    raise
                if attempt == self.attempts:
                    got = f"cannot be fetched after {attempt} attempts: {error!r}"
                    raise DataError(url, got, fix="check the address and the network") from error
                LOGGER.warning("warning: %s: %r; trying again", url, error)
                time.sleep(self.pause_s * 2 ** (attempt - 1))
        raise AssertionError("attempts is at least 1")


def _is_ours_or_full(error: Exception) -> bool:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or isinstance(error, ConfigError | DataError)


def _file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL and the path in it. Raises ConfigError."""
    scheme = url.split("://")[0]
    return _system(scheme, os.getpid()), url if scheme in ("http", "https") else url.split("://")[1]


@lru_cache(maxsize=8)
def _system(scheme: str, _pid: int) -> Any:
    """One a process: its connections do not survive a fork."""
    import fsspec

    try:
        return fsspec.filesystem(scheme, skip_instance_cache=True)
    except (ImportError, ValueError) as error:
        package = PACKAGES.get(scheme)
        raise ConfigError(
            f"{scheme}://",
            str(error).splitlines()[0],
            expected="a store that fsspec can open",
            fix=f"pip install {package}" if package else "use another store",
        ) from error


def _hold(path: Path) -> int | None:
    """A descriptor with a shared lock on the copy; None if there is none."""
    while True:
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        fcntl.flock(handle, fcntl.LOCK_SH)
        if _is_linked(handle, path):
            os.utime(path)  # its last use, by which copies are removed
            return handle
        os.close(handle)  # it was removed between opening and locking


def _remove_unused(path: Path) -> bool:
    """Remove a copy unless somebody reads it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_linked(handle, path):
            return False
        path.unlink()
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(handle)


def _is_linked(handle: int, path: Path) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return os.fstat(handle).st_ino == there.st_ino


def _noted_size(root: Path) -> int:
    try:
        return int((root / "size").read_text() or 0)
    except (FileNotFoundError, ValueError):
        return 0


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
