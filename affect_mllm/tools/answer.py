"""What a checkpoint says about one clip: whole, or piece by piece while it is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from affect_mllm.eval.generate.pieces import Heard


@dataclass(frozen=True)
class Answer:
    """What a checkpoint says about one clip, and what it said it of.

    `gate` has the weights of experts by modality; `warnings` say what was missing.
    """

    text: str
    modalities: tuple[str, ...]
    gate: dict[str, dict[str, float]]
    subtitle: str | None
    warnings: tuple[str, ...]


class Stream:
    """An iterator of an answer's pieces; `answer` is the whole of it once they are through.

    `answered` writes it in a thread of its own, which ends where nobody reads on.
    """

    answer: Answer

    def __init__(self, answered: Callable[[Heard], Answer]) -> None:
        self._answered = answered
        self._pieces = self._written()

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def __next__(self) -> str:
        """The next piece. Raises what asking raised."""
        return next(self._pieces)

    def close(self) -> None:
        """Stop the answer where it is."""
        self._pieces.close()

    def _written(self) -> Generator[str, None, None]:
        told: SimpleQueue[str | None] = SimpleQueue()
        left = threading.Event()

        def heard(_row: str, piece: str) -> bool:
            told.put(piece)
            return not left.is_set()

        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self._answered, heard)
            asked.add_done_callback(lambda _: told.put(None))
            try:
                while (piece := told.get()) is not None:
                    if piece:
                        yield piece
            finally:
                left.set()
        self.answer = asked.result()
