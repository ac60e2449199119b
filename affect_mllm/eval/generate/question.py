"""What is asked about rows, how they are cut into batches, and what can be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from affect_mllm.eval.generate.views import View
from affect_mllm.log import LOGGER
from affect_mllm.models.decoding import Repeat
from affect_mllm.types import DataError, Sample

WHOLE = View()
Batches = list[list[Sample]]
Choose = Callable[[Batches], Batches]


@dataclass(frozen=True)
class Question:
    """What is asked: the same `text` of every row, or what `of_row` makes of it for each.

    `words_of` a row are the task's labels as its question names them, in their order.
    """

    text: str
    of_row: Callable[[Sample], str] | None = None
    words_of: Callable[[Sample], tuple[str, ...]] | None = None

    def about(self, sample: Sample) -> str:
        """The words for one row. Raises DataError where the row lacks what they name."""
        return self.text if self.of_row is None else self.of_row(sample)


class Unseen(DataError):
    """A row has nothing of what is to be seen: no fault of its files."""


def unanswered(sample: Sample, error: DataError) -> dict[str, Any]:
    """The prediction row of a sample that could not be asked about, and why."""
    LOGGER.warning("no answer: %s", error)
    why = "unseen" if isinstance(error, Unseen) else "error"
    return {"id": sample.id, "response": "", why: str(error), "modalities": []}


def everything(batches: Batches) -> Batches:
    """All of them: one process asks, and nothing is answered yet."""
    return batches


def batches_of(samples: Sequence[Sample], cost: Callable[[Sample], int], size: int) -> Batches:
    """Batches of rows that cost about as much, the dearest first: what does not fit into memory
    shows at once.

    They follow from the rows alone, so that a run that is taken up again, by any number of
    processes, forms the same ones: in other company an answer's numbers are rounded otherwise.
    """
    costs = {sample.id: cost(sample) for sample in samples}
    ordered = sorted(samples, key=lambda sample: (-costs[sample.id], sample.id))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


class Answers(Protocol):
    """What can be asked: a checkpoint of ours, or another model on the same way."""

    def answer(
        self,
        samples: Sequence[Sample],
        question: Question,
        view: View = WHOLE,
        choose: Choose = everything,
    ) -> Iterator[dict[str, Any]]:
        """One prediction row a sample of those batches that `choose` takes, in any order."""
        ...

    def drawing(self, repeat: Repeat | None) -> Answers:
        """The same, with answers that are drawn; greedy ones without a repeat."""
        ...

    def stamp(self, question: Question) -> dict[str, str]:
        """What every row of one run has in common; answers of another stamp are not re-used."""
        ...
