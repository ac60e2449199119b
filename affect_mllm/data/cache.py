"""Feature cache: the states of frozen encoders, computed once, found by what made them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np

from affect_mllm.data.shards import Entry, ShardStore, sizes, write_shard
from affect_mllm.log import LOGGER
from affect_mllm.media.content import ContentIndex, content_hash
from affect_mllm.media.remote import MediaFiles
from affect_mllm.types import ConfigError, DataError, Sample, is_url

SHARD_BYTES = 64 << 20
FLUSH_S = 30.0  # what a kill loses at most
IN_USE_S = 24 * 3600  # a shard used within this time is never removed


def contents(root: Path) -> ContentIndex:
    """The hashes that the cache at `root` remembers, of media and of encoders."""
    return ContentIndex(root / "contents.sqlite")


class FeatureCache:
    """States `[S, D]` of clips by modality, in shards that several processes may add to.

    An entry's key is a hash of the media's bytes, the cut, the boxes, the decode settings, the
    encoders' fingerprints and the type it is kept in, so a stale entry cannot be found. `max_gb`
    bounds the shards; those used longest ago are removed, and it is said which. What is put is
    kept by `flush`, or on the way when there is enough of it.
    """

    def __init__(
        self,
        root: Path,
        settings: Mapping[str, object],
        *,
        dtype: Literal["float16", "float32"] = "float16",
        max_gb: float | None = None,
        files: MediaFiles | None = None,
    ) -> None:
        self.root, self.max_gb, self.dtype = root, max_gb, np.dtype(dtype)
        self._settings = json.dumps([dtype, settings], sort_keys=True, default=str)
        self._files = files or MediaFiles()
        self._contents = contents(root)
        self._store = ShardStore(root / "shards")
        self._waiting = _Waiting()

    def key(self, sample: Sample) -> bytes:
        """What the row's states are found by, 32 bytes. DataError where a file cannot be read."""
        digest = hashlib.sha256(self._settings.encode())
        for kind in sorted(sample.media):
            digest.update(f"{kind}={self._content(sample, kind)};".encode())
        cut = (sample.start_s, sample.end_s, sample.peak_s, sample.frames_fps)
        digest.update(repr((cut, sample.face_boxes, sample.face_times_s)).encode())
        return digest.digest()

    def has(self, sample: Sample) -> bool:
        """Whether the row's states are there. DataError naming a shard that cannot be read."""
        try:
            key = self.key(sample)
        except DataError:
            return False  # a media file that is gone: reading it says so
        return self._waiting.get(key) is not None or self._store.has(key)

    def get(self, sample: Sample) -> Entry | None:
        """The row's states and warnings, or None if they were not computed yet."""
        key = self.key(sample)
        return self._waiting.get(key) or self._store.get(key)

    def sizes(self, sample: Sample) -> dict[str, tuple[int, int]] | None:
        """The shapes of the row's states by modality, or None if they were not computed yet."""
        key = self.key(sample)
        waiting = self._waiting.get(key)
        if waiting is not None:
            return {name: (len(a), a.shape[1]) for name, a in waiting.states.items()}
        return self._store.sizes(key)

    def put(
        self, sample: Sample, states: Mapping[str, np.ndarray], warnings: tuple[str, ...] = ()
    ) -> None:
        """Keep the row's states. ConfigError for values too large for the type they are kept in."""
        kept = {name: self._narrow(name, array) for name, array in states.items()}
        self._waiting.add(self.key(sample), Entry(kept, warnings))
        if self._waiting.is_due():
            self.flush()

    def flush(self) -> None:
        """Write what was put and not written yet. ConfigError when the cache is full."""
        with self._waiting.taken() as entries:
            if entries:
                write_shard(self._store.folder, entries)
        if self.max_gb is not None:
            self._make_room(int(self.max_gb * 1e9))

    def _narrow(self, name: str, array: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            kept = np.ascontiguousarray(array, self.dtype)
        if (np.isinf(kept) & np.isfinite(array)).any():
            raise ConfigError(
                "data.cache_dtype",
                f"{self.dtype}, and {name} states reach {np.abs(array).max():.3g}",
                expected="at most 65504",
                fix="set data.cache_dtype=float32",
            )
        return kept

    def _content(self, sample: Sample, kind: str) -> str:
        where = sample.media[kind]
        if not is_url(where):
            return self._contents.of(sample.root / where)

        def fetched() -> str:
            with self._files.copy_of(where) as path:
                return content_hash(path)

        return self._contents.remembered(where, self._files.version(where), fetched)

    def _make_room(self, most: int) -> None:
        """Remove shards used longest ago until all together are no larger than `most` bytes."""
        folder = self._store.folder
        with _locked(self.root / "evict.lock"):
            shards = list(sizes(folder))
            total = sum(size for _, size, _ in shards)
            idle = time.time() - IN_USE_S
            for used, size, path in shards:
                if total <= most:
                    return
                if used > idle:
                    break
                path.unlink(missing_ok=True)
                total -= size
                when = time.strftime("%Y-%m-%d %H:%M", time.localtime(used))
                LOGGER.info("feature cache: %s removed (%.2f GB, last used %s)", path.name,
                            size / 1e9, when)  # fmt: skip
        if total > most:
            raise ConfigError(
                "data.cache_max_gb",
                f"{most / 1e9:g}, and {total / 1e9:.2f} GB were used in the last 24 hours",
                expected="room for what the runs of a day need",
                fix="raise data.cache_max_gb, or delete shards of runs that are over",
            )


class _Waiting:
    """Entries that are not in a shard yet."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry] = {}
        self._bytes, self._since = 0, time.monotonic()
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, object]:
        """They stay with the process that computed them."""
        return {}

    def __setstate__(self, _state: dict[str, object]) -> None:
        self.__init__()

    def add(self, key: bytes, entry: Entry) -> None:
        with self._lock:
            if not self._entries:
                self._since = time.monotonic()
            self._entries[key] = entry
            self._bytes += entry.nbytes

    def get(self, key: bytes) -> Entry | None:
        with self._lock:
            return self._entries.get(key)

    def is_due(self) -> bool:
        """Whether enough came together, or the first has waited long."""
        with self._lock:
            return self._bytes >= SHARD_BYTES or time.monotonic() - self._since > FLUSH_S

    @contextmanager
    def taken(self) -> Iterator[Mapping[bytes, Entry]]:
        """The entries, which are forgotten if the `with` ends well."""
        with self._lock:
            yield self._entries
            self._entries, self._bytes = {}, 0


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
