"""Writing a checkpoint while the steps go on: one thread, one checkpoint at a time."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from affect_mllm.train.layout.engine import Engine
from affect_mllm.types import AffectError, CheckpointError

Part = Callable[[], None]


class Saving:
    """Parts of a checkpoint that a thread of every rank does, each on all before the next.

    Where one fails, no rank goes on, and `wait` raises the same error on all of them. What the
    ranks tell each other goes through a group of their own: the steps use the other ones meanwhile.
    """

    def __init__(self, engine: Engine, target: Path, parts: Sequence[Part]) -> None:
        self._gather, self._target, self._parts = engine.gathering_beside(), target, parts
        self._error: BaseException | None = None
        # Not a daemon: an interpreter that ends waits for it.
        self._thread = threading.Thread(target=self._run, name="saving")
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether it is known by now that it failed."""
        return self._error is not None

    def wait(self) -> None:
        """Until it is done. Raises what it failed with."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for part in self._parts:
                self._together(part)
        except BaseException as error:
            self._error = error

    def _together(self, part: Part) -> None:
        own: Exception | None = None
        try:
            with on_disk(self._target):
                part()
        except Exception as error:
            own = error
        told = own if own is None or isinstance(own, AffectError) else repr(own)
        for rank, found in enumerate(self._gather(told)):
            if own is not None:
                raise own
            if isinstance(found, AffectError):
                raise found
            if found is not None:
                raise CheckpointError(
                    str(self._target),
                    f"rank {rank} could not write it ({found})",
                    fix="mend that (room, rights); the same command goes on from an earlier one",
                )


class on_disk:
    """A full disk becomes one clear message; what was saved before is still there."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        if full or (isinstance(error, Exception) and self._no_space(error)):
            raise CheckpointError(
                str(self.target),
                "the disk is full; the last complete checkpoint is kept",
                fix="free some space and start the same command again",
            ) from error

    def _no_space(self, error: Exception) -> bool:
        """torch says only that a write failed; then the disk is asked."""
        said = str(error)
        unclear = "file write failed" in said or "failed writing file" in said
        return "No space left" in said or (
            unclear and shutil.disk_usage(self.target.parent).free < 1 << 20
        )
