"""Shards: safetensors files of many clips' states each, found by 32-byte keys.

In a shard the states of a modality stand one after another, `NAME` `[ΣS, D]`, with `NAME/ends`
int64 `[n]`, where each clip's end; `keys` is uint8 `[n, 32]`. So a header stays small whatever the
number of clips, and one clip is a slice. Files are named by the time they were made: of two
entries with one key the newer one counts.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from affect_mllm.types import DataError

OPEN_SHARDS = 256
TOUCH_S = 3600  # a shard's last use is noted at most this often
FORMAT = "1"


@dataclass(frozen=True)
class Entry:
    """One clip: states `[S, D]` by modality, and what was said when it was read."""

    states: dict[str, np.ndarray]
    warnings: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the states."""
        return sum(array.nbytes for array in self.states.values())


def write_shard(folder: Path, entries: Mapping[bytes, Entry]) -> Path:
    """Put a shard of `entries` into `folder`; it appears whole."""
    from safetensors.numpy import save_file

    tensors: dict[str, np.ndarray] = {
        "keys": np.frombuffer(b"".join(entries), np.uint8).reshape(-1, 32)
    }
    for name in sorted({name for entry in entries.values() for name in entry.states}):
        parts = [entry.states[name] for entry in entries.values() if name in entry.states]
        lengths = [len(entry.states.get(name, ())) for entry in entries.values()]
        tensors[name] = np.concatenate(parts)
        tensors[f"{name}/ends"] = np.cumsum(lengths, dtype=np.int64)
    said = json.dumps([entry.warnings for entry in entries.values()])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.safetensors"
    temporary = folder / f".{path.name}"
    save_file(tensors, temporary, metadata={"format": FORMAT, "warnings": said})
    os.replace(temporary, path)
    return path


class _Shard:
    """An open shard: the file is mapped, its small arrays are read."""

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        self._file: Any = safe_open(path, framework="numpy")
        names = set(self._file.keys())
        self.keys: npt.NDArray[np.uint8] = self._file.get_tensor("keys")
        self._ends = {
            name: self._file.get_tensor(f"{name}/ends") for name in names if f"{name}/ends" in names
        }
        self._said = json.loads(self._file.metadata()["warnings"])

    def entry(self, row: int) -> Entry:
        states = {}
        for name, ends in self._ends.items():
            begin, end = (int(ends[row - 1]) if row else 0), int(ends[row])
            if end > begin:
                states[name] = self._file.get_slice(name)[begin:end]
        return Entry(states, tuple(self._said[row]))

    def sizes(self, row: int) -> dict[str, tuple[int, int]]:
        """States and their width by modality."""
        found = {}
        for name, ends in self._ends.items():
            count = int(ends[row]) - (int(ends[row - 1]) if row else 0)
            if count:
                found[name] = (count, int(self._file.get_slice(name).get_shape()[1]))
        return found


class ShardStore:
    """The shards of a folder, read by key. Other processes may add and remove some meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: list[str] = []
        self._heads = np.zeros(0, np.uint64)  # first 8 bytes of each key, sorted
        self._places = np.zeros((0, 2), np.int32)  # shard, row
        self._open: OrderedDict[int, _Shard] = OrderedDict()
        self._touched: dict[int, float] = {}
        self._seen_ns = -1
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """Another process opens the files itself."""
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"])

    def has(self, key: bytes) -> bool:
        """Whether there is an entry; its shard then counts as in use."""
        with self._lock:
            return self._find(key) is not None

    def get(self, key: bytes) -> Entry | None:
        """The entry, or None. DataError naming a shard that cannot be read."""
        with self._lock:
            place = self._find(key)
            return None if place is None else self._shard(place[0]).entry(place[1])

    def sizes(self, key: bytes) -> dict[str, tuple[int, int]] | None:
        """The shapes of the entry's states, or None. DataError as `get`."""
        with self._lock:
            place = self._find(key)
            return None if place is None else self._shard(place[0]).sizes(place[1])

    def keys(self) -> npt.NDArray[np.uint8]:
        """All keys, uint8 `[n, 32]`, in the order of shards."""
        with self._lock:
            self._refresh()
            parts = [self._shard(number).keys for number in range(len(self._names))]
            return np.concatenate(parts) if parts else np.zeros((0, 32), np.uint8)

    def _find(self, key: bytes) -> tuple[int, int] | None:
        found = self._look(key)
        if found is None and self._refresh():
            found = self._look(key)
        return found

    def _look(self, key: bytes) -> tuple[int, int] | None:
        head = np.frombuffer(key[:8], np.uint64)[0]
        first = int(np.searchsorted(self._heads, head, side="left"))
        last = int(np.searchsorted(self._heads, head, side="right"))
        for at in range(last - 1, first - 1, -1):
            number, row = (int(value) for value in self._places[at])
            shard = self._shard_or_none(number)
            if shard is not None and shard.keys[row].tobytes() == key:
                self._touch(number)
                return number, row
        return None

    def _refresh(self) -> bool:
        """Take up shards that came; whether there were any.

        Raises DataError naming one that cannot be read, once all others are taken up.
        """
        try:
            now_ns = self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        # A folder changed in this very moment may change again without another time.
        if now_ns == self._seen_ns and time.time_ns() - now_ns > 2_000_000_000:
            return False
        known = set(self._names)
        new = sorted(p.name for p in self.folder.glob("[!.]*.safetensors") if p.name not in known)
        torn: DataError | None = None
        for name in new:
            self._names.append(name)
            number = len(self._names) - 1
            try:
                shard = self._shard_or_none(number)
            except DataError as error:
                torn = torn or error
            else:
                if shard is not None:
                    self._add(number, shard.keys)
        self._seen_ns = now_ns
        if torn is not None:
            raise torn
        return bool(new)

    def _add(self, number: int, keys: npt.NDArray[np.uint8]) -> None:
        heads = np.ascontiguousarray(keys[:, :8]).view(np.uint64)[:, 0]
        rows = np.arange(len(keys), dtype=np.int32)
        places = np.stack([np.full_like(rows, number), rows], axis=1)
        heads = np.concatenate([self._heads, heads])
        order = np.argsort(heads, kind="stable")  # of equal ones, the newer shard's stays last
        self._heads, self._places = heads[order], np.concatenate([self._places, places])[order]

    def _shard_or_none(self, number: int) -> _Shard | None:
        try:
            return self._shard(number)
        except FileNotFoundError:
            return None  # removed by another process

    def _shard(self, number: int) -> _Shard:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        from safetensors import SafetensorError

        path = self.folder / self._names[number]
        try:
            shard = self._open[number] = _Shard(path)
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise DataError(
                str(path),
                f"unreadable cache shard: {error}",
                fix="delete this file; its clips will be computed again",
            ) from error
        if len(self._open) > OPEN_SHARDS:
            self._open.popitem(last=False)
        return shard

    def _touch(self, number: int) -> None:
        now = time.monotonic()
        if now - self._touched.get(number, -np.inf) > TOUCH_S:
            self._touched[number] = now
            with suppress(OSError):  # removed, or a cache that may only be read
                os.utime(self.folder / self._names[number])


def sizes(folder: Path) -> Sequence[tuple[float, int, Path]]:
    """(last use, bytes, path) of each shard, the one used longest ago first."""
    found = []
    for path in folder.glob("[!.]*.safetensors"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        found.append((stat.st_mtime, stat.st_size, path))
    return sorted(found)
