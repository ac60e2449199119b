"""How many tokens pictures and sounds take in a VLM's prompt, and the VLM's own ids around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from affect_mllm.models.vlm.slow_steps import SlowFastSteps
from affect_mllm.models.vlm.sound_count import SoundCount
from affect_mllm.models.vlm.vlm_family import Mixed
from affect_mllm.types import DataError, Patches, Placeholder

SOUND = "audio"


@dataclass(frozen=True)
class VisionPlaceholder:
    """How many tokens patches take in the prompt, and the VLM's own ids around and in them.

    `stamped`: each time step by itself, behind its time. The form is that of Qwen3-VL's processor
    as published with it (transformers 4.57: `<1.5 seconds>`, then start, step, end); the 5.24 one
    keeps the chat template's start and end around it all, which the published one replaces.
    """

    merge: int
    start: int
    end: int
    filler: int
    stamped: bool = False
    pooling: SlowFastSteps | None = None

    def __call__(self, patches: Patches) -> Placeholder:
        """One token for `merge²` patches, but for those that are pooled.

        Raises DataError for a stamped video without times.
        """
        count = int(np.prod(patches.grid)) // self.merge**2
        each = [count // patches.grid[0]] * patches.grid[0]
        if self.pooling is not None:
            each = [len(step) for step in self.pooling.kept(patches.grid, self.merge)]
        whole = Placeholder(sum(each), (self.start,), (self.end,), self.filler)
        if not self.stamped:
            return whole
        steps = patches.grid[0]
        if len(patches.times_s) != steps:
            raise DataError(
                "video",
                f"{steps} time steps, {len(patches.times_s)} times",
                expected="one each, which this VLM's prompts name",
                fix="Patches.timed(times_s)",
            )
        timed = zip(each, patches.times_s, strict=True)
        first, *then = [
            whole._replace(length=length, words=f"<{at_s:.1f} seconds>") for length, at_s in timed
        ]
        return first._replace(then=tuple(then))


@dataclass(frozen=True)
class SoundPlaceholder:
    """How many tokens a sound's log-mel frames `[T, B]` take, and the ids around and in them."""

    count: SoundCount
    start: int
    end: int
    filler: int

    def __call__(self, frames: np.ndarray) -> Placeholder:
        """As many tokens as the audio tower makes states."""
        return Placeholder(self.count(frames), (self.start,), (self.end,), self.filler)


@dataclass(frozen=True, kw_only=True)
class SoundingPlaceholder(VisionPlaceholder):
    """A video's tokens, and those of its sound among them where both are seen.

    `mixed`, as in Qwen2.5-Omni's and Qwen3-Omni's technical reports (arXiv 2503.20215, 2509.17765)
    and their code in transformers 5.24: `chunks` of `chunk_s` seconds, of each first what is seen;
    or `merge`, token by token by their time, what is seen first on a tie. `sound` are start, end
    and filler of a sound; `per_second` positions are a second.

    The order is that of `get_rope_index`, which counts in float32 and whole positions, where the
    processors count in float64: their borders differ for some rates. A chunk takes one token at
    least, and ends where the next token is past its border: steps longer than a chunk leave chunks
    of one token, as there.
    """

    count: SoundCount
    sound: tuple[int, int, int]
    mixed: Mixed
    per_second: float
    chunk_s: float

    def joined(self, patches: Patches, frames: np.ndarray) -> Placeholder:
        """The place of a video and its sound; the parts of the sound are of that modality."""
        steps, heard = patches.grid[0], self.count(frames)
        step_s = np.float32(patches.step_s or 1.0)
        times = np.arange(steps, dtype=np.float32) * step_s * np.float32(self.per_second)
        each = int(np.prod(patches.grid[1:])) // self.merge**2
        by_chunk = self.mixed == "chunks"
        order = self._by_chunk if by_chunk else _by_time
        runs = list(order(np.repeat(times, each), np.arange(heard)))
        start, end, filler = self.sound
        parts = [
            Placeholder(length, filler=filler, modality=SOUND)
            if sounds
            else Placeholder(length, filler=self.filler)
            for sounds, length in runs
        ]
        parts[-1] = parts[-1]._replace(after=(end, self.end))
        first, *then = parts
        return first._replace(before=(self.start, start), then=tuple(then))

    def _by_chunk(self, seen: np.ndarray, heard: np.ndarray) -> Iterator[tuple[bool, int]]:
        """Runs of tokens: whether they sound, and how many there are."""
        size = int(self.per_second * self.chunk_s)
        both = [_chunks(seen.astype(np.int64), size), _chunks(heard, size)]
        for number in range(max(map(len, both))):
            for sounds, chunks in enumerate(both):
                if number < len(chunks):
                    yield bool(sounds), chunks[number]


def _chunks(times: np.ndarray, size: int) -> list[int]:
    """Lengths of chunks of at least one of the rising `times`."""
    cuts = [0]
    for place, time in enumerate(times.tolist()):
        if time >= len(cuts) * size:
            cuts.append(place)
    return [end - start for start, end in pairwise([*cuts, len(times)])]


def _by_time(seen: np.ndarray, heard: np.ndarray) -> Iterator[tuple[bool, int]]:
    """Runs of tokens in the order of their times."""
    order = np.concatenate([seen, heard.astype(np.float32)]).argsort(kind="stable")
    for sounds, run in groupby((order >= len(seen)).tolist()):
        yield sounds, len(list(run))
