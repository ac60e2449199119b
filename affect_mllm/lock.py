"""One run in a folder: a second one is told who is there, and what a dead one left is no lock."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from affect_mllm.log import LOGGER
from affect_mllm.types import ConfigError

NAME = ".lock"
BEAT_S = 20.0  # how often a run says that it lives, to other hosts
STALE_S = 300.0  # after so long without a word another host's run counts as dead
# What a file system without locks says.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)
_TAKEN = (errno.EACCES, errno.EAGAIN)
# This process's own: the kernel's lock does not hold off the process that has it.
_HELD: set[Path] = set()


@contextlib.contextmanager
def held(folder: Path, *, key: str) -> Iterator[None]:
    """While inside, `folder` is this process's; it is made if need be. `key` is its option.

    The lock is the kernel's (fcntl): whatever ends the process, kill -9 included, ends the lock.
    `.lock` also tells host, process and start, and is touched now and then: where locks do not
    reach other hosts, a file that was touched lately counts as one. Raises ConfigError when
    another run is there, or the folder cannot be written.
    """
    place = folder.resolve()
    if place in _HELD:
        raise ConfigError(key, f"{folder} is in use by this process", fix=f"give another {key}")
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _taken(folder / NAME, key)
    except OSError as error:
        raise _unusable(folder, key, error) from error
    _HELD.add(place)
    over = threading.Event()
    beat = threading.Thread(target=_beat, args=(descriptor, over), name="lock", daemon=True)
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join()
        if _is_still(folder / NAME, descriptor):  # not where it was removed and another's is there
            os.unlink(folder / NAME)
        os.close(descriptor)
        _HELD.discard(place)
        for each in made:  # a run that never began leaves no empty folders
            with contextlib.suppress(OSError):
                each.rmdir()


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[None]:
    """While inside, no other process has its turn in `folder`; waits for it, so only for moments.

    The folder itself is locked, which leaves no file; a file system without locks goes without.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _taken(path: Path, key: str) -> int:
    """An open descriptor of the lock file, locked and with our name in it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            owner, age_s = _owner(descriptor), time.time() - os.fstat(descriptor).st_mtime
            if not _locked(descriptor, owner) or _lives_elsewhere(owner, age_s):
                raise _refusal(path, key, owner, age_s)
            if not _is_still(path, descriptor):  # its owner left and took the file with it
                os.close(descriptor)
                continue
            if owner:
                LOGGER.warning("warning: %s is of a run that is over: %s", path, _words(owner))
            _write(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _locked(descriptor: int, owner: dict[str, Any]) -> bool:
    """Lock the file; False if somebody has it. Without locks, the owner's process decides."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        if error.errno not in _NO_LOCKS:
            raise
        here = owner.get("host") == socket.gethostname()
        return not (here and owner.get("began") == _began(int(owner.get("process", 0))))
    return True


def _lives_elsewhere(owner: dict[str, Any], age_s: float) -> bool:
    """Whether another host's run said lately that it lives: its lock may not reach this host."""
    return bool(owner) and owner.get("host") != socket.gethostname() and age_s < STALE_S


def _refusal(path: Path, key: str, owner: dict[str, Any], age_s: float) -> ConfigError:
    elsewhere = owner.get("host") != socket.gethostname()
    fix = f"wait for it, stop it, or give another {key}"
    if elsewhere:
        fix += (
            f"; if it is dead, start again in {max(1, round(STALE_S - age_s))} s or remove {path}"
        )
    return ConfigError(key, f"{path.parent} is in use by {_words(owner)}", fix=fix)


def _words(owner: dict[str, Any]) -> str:
    if not owner:
        return "a run that is just starting"
    return f"process {owner.get('process')} on {owner.get('host')}, since {owner.get('since')}"


def _owner(descriptor: int) -> dict[str, Any]:
    """Who wrote the file; nobody if it is empty or torn."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _write(descriptor: int) -> None:
    owner = {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "since": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "began": _began(os.getpid()),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, (json.dumps(owner) + "\n").encode(), 0)


def _began(process: int) -> str | None:
    """When a process of this host began, in the kernel's ticks: its number may be used again."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _beat(descriptor: int, over: threading.Event) -> None:
    while not over.wait(BEAT_S):
        with contextlib.suppress(OSError):
            os.utime(descriptor)


def _unusable(folder: Path, key: str, error: OSError) -> ConfigError:
    return ConfigError(
        key,
        f"{folder} cannot be written: {error.strerror} ({error.filename or folder})",
        expected="a folder, or a new name in one, that can be written",
        fix=f"give another {key}",
    )
