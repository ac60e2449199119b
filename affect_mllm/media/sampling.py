"""Which frames of a clip are looked at: a choice of moments, the same for videos and folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from affect_mllm.types import ConfigError, DataError

Floats = npt.NDArray[np.float64]
Kind = Literal["uniform", "fps", "first", "peak", "motion"]


@dataclass(frozen=True)
class Sampling:
    """Which moments of a window are looked at; of each, the frame then on the screen is taken.

    `uniform`: the centres of `frames` equal parts of the window, or with `place="start"` where
    these parts begin (AffectGPT's choice). `fps`: the centres of parts of 1/`fps` seconds, at least
    one; where that makes more than `max_frames`, `max_frames` uniform ones. `first`: `frames`
    moments 1/`fps` seconds apart, beginning with the window; fewer in a shorter window. `peak`:
    the same about the row's `peak_s`, moved into the window where they would leave it. `motion`:
    `frames` moments where motion is largest (see media/motion.py); uniform ones if nothing moves.
    A clip with fewer frames than moments gives some frames more than once.
    `kind` is one of these.
    """

    kind: Kind = "uniform"
    frames: int = 8
    fps: float = 1.0
    max_frames: int = 32
    place: Literal["centre", "start"] = "centre"

    def __post_init__(self) -> None:
        for name, allowed in (("kind", get_args(Kind)), ("place", ("centre", "start"))):
            if getattr(self, name) not in allowed:
                got = repr(getattr(self, name))
                raise ConfigError(f"sampling.{name}", got, expected=", ".join(allowed))
        for name in ("frames", "fps", "max_frames"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"sampling.{name}", str(getattr(self, name)), expected="more than 0"
                )

    @property
    def needs_seconds(self) -> bool:
        """Whether pictures without a frame rate cannot be sampled like this."""
        return self.kind in ("fps", "peak") or (self.kind == "first" and self.frames > 1)

    def ranks(
        self,
        times_s: Floats,
        window: tuple[float, float],
        *,
        peak_s: float | None = None,
        motion: Callable[[], Floats],
    ) -> npt.NDArray[np.intp]:
        """Numbers of the chosen frames, ascending, of those that appear at `times_s` [N].

        `window` is in seconds; `motion` gives the motion [N] that led to each frame, and is only
        called for `kind="motion"`. DataError where `peak_s` is needed and None or outside.
        """
        if self.kind == "motion":
            from affect_mllm.media.motion import busiest

            inside = np.flatnonzero((times_s >= window[0] - 1e-6) & (times_s < window[1]))
            chosen = busiest(times_s[inside], motion()[inside], self.frames) if len(inside) else []
            if len(chosen):
                return inside[chosen]
        return self.shown(times_s, self.moments(*window, peak_s=peak_s))

    @staticmethod
    def shown(times_s: Floats, moments: Floats) -> npt.NDArray[np.intp]:
        """Numbers [T] of the frames, which appear at `times_s` [N], that are seen at `moments`."""
        found = np.searchsorted(times_s, moments + 1e-6, side="right")
        return np.clip(found - 1, 0, len(times_s) - 1)

    def moments(self, start_s: float, end_s: float, *, peak_s: float | None = None) -> Floats:
        """The moments in seconds, ascending, float64 [T], for the window start_s to end_s.

        Of `motion`, those of a clip in which nothing moves.
        """
        length = end_s - start_s
        if self.kind in ("first", "peak"):
            return self._row(start_s, end_s, peak_s)
        if self.kind == "fps":
            # The nudge keeps 10 s at 0.3 fps at 3 however 10 * 0.3 is rounded.
            count = max(1, int(length * self.fps + 1e-6))
            step = min(1 / self.fps, length)
            if count > self.max_frames:
                count, step = self.max_frames, length / self.max_frames
        else:
            count, step = self.frames, length / self.frames
        begin = 0.5 if self.place == "centre" else 0.0
        return (np.arange(count, dtype=np.float64) + begin) * step + start_s

    def _row(self, start_s: float, end_s: float, peak_s: float | None) -> Floats:
        """Moments 1/fps apart: from the window's beginning, or about the peak."""
        fitting = max(1, int(np.ceil((end_s - start_s) * self.fps - 1e-6)))
        offsets = np.arange(min(self.frames, fitting)) / self.fps
        if self.kind == "first":
            return start_s + offsets
        if peak_s is None or not start_s - 1e-6 <= peak_s <= end_s + 1e-6:
            raise DataError(
                "peak_s",
                "none" if peak_s is None else f"{peak_s:g} s",
                expected=f"the moment of the strongest expression, {start_s:g} to {end_s:g} s",
                fix="add it to the manifest's row, or choose another sampling.kind",
            )
        begin = peak_s - offsets[len(offsets) // 2]
        return np.clip(begin, start_s, max(start_s, end_s - offsets[-1])) + offsets
