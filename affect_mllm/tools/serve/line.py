"""Requests that wait for the model, and the one thread that asks it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from affect_mllm.eval.generate.pieces import Heard
from affect_mllm.log import LOGGER
from affect_mllm.tools.serve.answerer import Asked
from affect_mllm.tools.serve.caller import Caller
from affect_mllm.types import AffectError, DataError

Answer = Callable[[Sequence[Asked], Heard], Iterable[dict[str, Any]]]


class Place(NamedTuple):
    """A request in the line, and who waits for its answer."""

    asked: Asked
    caller: Caller


class Line:
    """First come, first served; those behind that are decoded alike are asked along, `batch` at
    most. Whoever has left is passed over. `lasted_s` is how long the last batch took.
    """

    def __init__(self, answer: Answer, batch: int) -> None:
        self._answer, self._batch = answer, batch
        self._places: list[Place] = []
        self._change = threading.Condition()
        self._closed = False
        self.lasted_s = 0.0
        self._thread = threading.Thread(target=self._work, name="model")
        self._thread.start()

    def join(self, place: Place) -> None:
        """Wait for an answer; the caller is told of it."""
        with self._change:
            self._places.append(place)
            self._change.notify()

    def close(self) -> None:
        """Answer those who wait, then end the thread."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def _work(self) -> None:
        while places := self._next():
            began = time.monotonic()
            self._ask(places)
            self.lasted_s = time.monotonic() - began

    def _next(self) -> list[Place]:
        """Those who are asked together; nobody once the line is closed and empty."""
        with self._change:
            while True:
                self._places = [place for place in self._places if not place.caller.left]
                if self._places or self._closed:
                    break
                self._change.wait()
            alike = [each for each in self._places if _decoding(each) == _decoding(self._places[0])]
            taken = alike[: self._batch]
            self._places = [each for each in self._places if each not in taken]
            return taken

    def _ask(self, places: Sequence[Place]) -> None:
        callers = {place.asked.id: place.caller for place in places}
        waiting = dict(callers)
        try:
            answers = self._answer(
                [place.asked for place in places], lambda id, piece: callers[id].tell(piece)
            )
            for row in answers:
                _pass(waiting.pop(row["id"]), row)
        except Exception as error:
            self._failed([each for each in places if each.asked.id in waiting], error)

    def _failed(self, places: Sequence[Place], error: Exception) -> None:
        """What failed together may succeed alone: one request costs no other its answer, but those
        whose stream has begun.
        """
        if not isinstance(error, AffectError):
            LOGGER.error("%d requests failed", len(places), exc_info=error)
        again = [each for each in places if len(places) > 1 and not each.caller.heard]
        for place in places:
            if place in again:
                self._ask([place])
            else:
                place.caller.fail(error)


def _decoding(place: Place) -> object:
    return place.asked.settings.decoding


def _pass(caller: Caller, row: dict[str, Any]) -> None:
    why = row.get("error") or row.get("unseen")
    if why:
        caller.fail(DataError("request", str(why)))
    else:
        caller.end(row)
