"""One client's end of a request: what the model's thread tells it, and whether it still waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any


class Caller:
    """Made in the event loop of its client; the model's thread tells, ends or fails it.

    Only one that `streams` gets pieces before the whole.
    """

    def __init__(self, *, streams: bool) -> None:
        self.streams = streams
        self._loop = asyncio.get_running_loop()
        self._told: asyncio.Queue[str | dict[str, Any] | Exception] = asyncio.Queue()
        self.left = False
        self.heard = False  # pieces, which another answer might contradict
        self.row: dict[str, Any] = {}

    def tell(self, piece: str) -> bool:
        """Pass a piece of the answer on, if it streams; whether anyone still waits for more."""
        if piece and self.streams and not self.left:
            self.heard = True
            self._pass(piece)
        return not self.left

    def end(self, row: dict[str, Any]) -> None:
        """Pass the whole answer on, as a prediction row."""
        self._pass(row)

    def fail(self, error: Exception) -> None:
        """Pass on why there is none."""
        self._pass(error)

    def leave(self) -> None:
        """The client is gone."""
        self.left = True

    async def pieces(self) -> AsyncIterator[str]:
        """The answer's pieces; then `row` is the whole. Raises what failed."""
        while True:
            told = await self._told.get()
            if isinstance(told, Exception):
                raise told
            if isinstance(told, dict):
                self.row = told
                return
            yield told

    def _pass(self, told: str | dict[str, Any] | Exception) -> None:
        try:
            self._loop.call_soon_threadsafe(self._told.put_nowait, told)
        except RuntimeError:  # the loop was closed: nobody waits
            self.left = True
