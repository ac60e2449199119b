"""Feature cache: the states of frozen encoders, computed once, found by what made them."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from affect_mllm.types import DataError, Sample


class FeatureCache:
    """One safetensors file a clip: states `[S, D]` in float16 by modality, and its warnings.

    The name is a hash of the media bytes, the cut, the boxes, the decode settings and the
    encoders' fingerprints, so a stale entry cannot be found. Files appear by rename: several
    writers may share a cache, and a kill leaves no half entry.
    """

    def __init__(self, root: Path, settings: Mapping[str, object]) -> None:
        self.root = root
        self._settings = json.dumps(settings, sort_keys=True, default=str)
        self._hashes: dict[tuple[str, int, int], str] = {}

    def path(self, sample: Sample) -> Path:
        """Where the states of this row are, or would be."""
        digest = hashlib.sha256(self._settings.encode())
        for kind in sorted(sample.media):
            digest.update(f"{kind}={self._content(sample.path(kind))};".encode())
        cut = (sample.start_s, sample.end_s, sample.face_boxes, sample.face_times_s)
        digest.update(repr(cut).encode())
        name = digest.hexdigest()
        return self.root / name[:2] / f"{name}.safetensors"

    def get(self, sample: Sample) -> dict[str, np.ndarray] | None:
        """The row's states, or None if they were not computed yet."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self.path(sample)
        try:
            return load_file(path) if path.is_file() else None
        except SafetensorError as error:
            raise DataError(
                str(path),
                f"unreadable cache entry: {error}",
                fix="delete this file; it will be computed again",
            ) from error

    def warnings(self, sample: Sample) -> tuple[str, ...]:
        """What was said when the row was read (no sound, no face)."""
        from safetensors import safe_open

        with safe_open(self.path(sample), framework="numpy") as entry:
            return tuple(json.loads((entry.metadata() or {}).get("warnings", "[]")))

    def put(
        self, sample: Sample, states: Mapping[str, np.ndarray], warnings: tuple[str, ...] = ()
    ) -> None:
        """Keep the row's states."""
        from safetensors.numpy import save_file

        path = self.path(sample)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        half = {name: np.ascontiguousarray(array, np.float16) for name, array in states.items()}
        save_file(half, temporary, metadata={"warnings": json.dumps(warnings)})
        os.replace(temporary, path)

    def _content(self, path: Path) -> str:
        if path.is_dir():
            return ",".join(self._content(each) for each in sorted(path.iterdir()))
        try:
            stat = path.stat()
        except OSError as error:
            raise DataError(str(path), error.strerror or str(error)) from error
        key = (str(path), stat.st_size, stat.st_mtime_ns)
        if key not in self._hashes:
            with path.open("rb") as stream:
                self._hashes[key] = hashlib.file_digest(stream, "sha256").hexdigest()
        return self._hashes[key]
