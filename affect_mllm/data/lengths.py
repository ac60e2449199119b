"""How large every row's media will be, known on all ranks before anything of them is decoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from affect_mllm.data.ahead import Ahead
from affect_mllm.data.example import Item
from affect_mllm.data.features import Features, Gather, alone, bar, cores_of_rank
from affect_mllm.log import LOGGER
from affect_mllm.media.content import ContentIndex
from affect_mllm.types import DataError, Patches, Sample, SpanRule

A_WORKER = 64  # rows that are worth a process of their own
Found = list[tuple[bytes, bytes]]  # a key, and the shapes as JSON


class Lengths:
    """Shapes of rows' media, found by what the rows name; small, and the same in every process.

    Kept in two arrays, so that a loader's workers share them with the process that made them.
    """

    def __init__(self, found: Found | None = None) -> None:
        kept = dict(found or [])
        ordered = sorted(kept)
        self._keys = np.frombuffer(b"".join(ordered), ">u8")
        self._ends = np.cumsum([len(kept[key]) for key in ordered], dtype=np.int64)
        self._texts = b"".join(kept[key] for key in ordered)

    def __len__(self) -> int:
        return len(self._keys)

    def of(self, sample: Sample) -> dict[str, Item] | None:
        """Arrays of the shapes that the row's media will have, nothing in them.

        None where its files could not be measured, or nobody did. Of clips as `Features.clip`.
        """
        if not sample.has_media:
            return None
        if not sample.clips:
            return self._part(sample)
        found: dict[str, Item] = {}
        for number, clip in enumerate(sample.clips, start=1):
            part = self._part(clip)
            if part is None:
                return None
            found |= {f"{name}.{number}": item for name, item in part.items()}
        return found

    def _part(self, sample: Sample) -> dict[str, Item] | None:
        if not sample.media:
            return {}
        key = np.frombuffer(_key(sample), ">u8")[0]
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key:
            return None
        begin = int(self._ends[place - 1]) if place else 0
        shapes = json.loads(self._texts[begin : int(self._ends[place])])
        return {name: _item(*told) for name, told in shapes.items()}


def needed(spans: Mapping[str, SpanRule], features: Features) -> bool:
    """Whether the files decide what a row takes: by its tokens, or by encoders that run."""
    return not features.encoded or not all(isinstance(rule, int) for rule in spans.values())


def measure(
    features: Features,
    samples: Sequence[Sample],
    *,
    index: ContentIndex,
    gather: Gather = alone,
    workers: int | None = None,
) -> Lengths:
    """The lengths of all ranks' rows, of which `samples` are this one's share.

    Files are measured by `workers` processes (None: one a core of this rank), and never twice
    while they stay as they are: `index` remembers, also of a run that was interrupted. A row that
    cannot be measured is planned with a guess, and refused when it is read.
    """
    most = cores_of_rank() if workers is None else workers
    workers = min(most, len(samples) // A_WORKER)
    found: Found = []
    shown = bar("lengths", len(samples)) if len(samples) >= A_WORKER else nullcontext(int)
    with shown as done:
        for part in Ahead(_Measure(features, index), samples, workers=workers, each=16):
            found += part
            done()
    shares = gather(found)
    made = Lengths([each for share in shares for each in share])
    LOGGER.debug("lengths: %d media of %d rows here", len(made), len(samples))
    return made


@dataclass(frozen=True)
class _Measure:
    """Measures the media of one row; holds no model, so workers may."""

    features: Features
    index: ContentIndex

    def __call__(self, sample: Sample) -> Found:
        return [(_key(part), shapes) for part, shapes in self._parts(sample)]

    def _parts(self, sample: Sample) -> Iterator[tuple[Sample, bytes]]:
        for part in sample.parts:
            if part.media:
                try:
                    items = self.features.measured(part, self.index)
                except DataError as error:
                    LOGGER.debug("no length: %s", error)
                else:
                    told = {name: _told(item) for name, item in items.items()}
                    yield part, json.dumps(told, separators=(",", ":")).encode()


def _key(sample: Sample) -> bytes:
    """Eight bytes by everything of a row that decides its arrays."""
    cut = (sample.start_s, sample.end_s, sample.peak_s, sample.frames_fps)
    named = (str(sample.root), sorted(sample.media.items()), cut)
    told = repr((*named, sample.face_boxes, sample.face_times_s))
    return hashlib.sha256(told.encode()).digest()[:8]


def _told(item: Any) -> list[Any]:
    values = item.values if isinstance(item, Patches) else np.asarray(item)
    shape = [values.dtype.str, list(values.shape)]
    if isinstance(item, Patches):
        shape += [item.grid, item.frames_per_step, item.step_s, item.times_s]
    return shape


def _item(dtype: str, shape: Sequence[int], *patches: Any) -> Item:
    values: npt.NDArray[Any] = np.broadcast_to(np.zeros((), dtype), tuple(shape))
    if not patches:
        return values
    grid, frames_per_step, step_s, times_s = patches
    return Patches(values, tuple(grid), frames_per_step, step_s, tuple(times_s))
