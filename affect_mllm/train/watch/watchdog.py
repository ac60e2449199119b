"""The watchdog: says in which step and phase a run is stuck, on which rank, and where."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

from affect_mllm.log import LOGGER


class Watchdog:
    """A thread that speaks up when the same phase of a step lasts longer than `limit_s`.

    It only says it, once for each time a phase gets stuck: whether to wait on is for the user, and
    a rank that is gone ends the job through the launcher. The message names rank, step, phase and
    the line that the main thread is in.
    """

    def __init__(
        self, *, limit_s: float = 600.0, say: Callable[[str], None] = LOGGER.error
    ) -> None:
        self.limit_s, self._say = limit_s, say
        self._step, self._phase, self._since = 0, "start", time.monotonic()
        self._told: float | None = None
        self._over = threading.Event()
        self._main = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> None:
        """Begin to watch."""
        self.at(self._step, "waiting for the first batch")
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Watch no longer."""
        self._over.set()
        self._thread.join()

    def at(self, step: int, phase: str) -> None:
        """The run is now in `phase` of `step`."""
        self._step, self._phase, self._since = step, phase, time.monotonic()

    def _watch(self) -> None:
        while not self._over.wait(min(1.0, self.limit_s / 4)):
            since = self._since
            stuck = time.monotonic() - since
            if stuck > self.limit_s and self._told != since:
                self._told = since
                self._say(self._message(stuck))

    def _message(self, stuck: float) -> str:
        frame = sys._current_frames().get(self._main)
        place = traceback.extract_stack(frame)[-1] if frame is not None else None
        where = f"{place.filename}:{place.lineno} in {place.name}" if place else "unknown"
        return (
            f"rank {os.environ.get('RANK', '0')}: step {self._step} is stuck in {self._phase} "
            f"for {stuck:.0f} s (limit {self.limit_s:.0f} s)\n"
            f"  the main thread is at {where}\n"
            "  to mend it: if another rank says something else, that one is the cause; "
            "stuck_after_s=… raises the limit"
        )
