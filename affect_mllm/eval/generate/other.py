"""Another model than a checkpoint of ours, on the same way: the same rows, questions and media.

It is asked the same question about what `data/reader` reads for our own model: the same frames or
face crops and the same sound, in the same order, before our encoders' preprocessing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from affect_mllm.data.reader import Reader
from affect_mllm.eval.chat import Reply
from affect_mllm.eval.generate.parts import Turn, taken_of, turn_of
from affect_mllm.eval.generate.question import (
    WHOLE,
    Choose,
    Question,
    batches_of,
    everything,
    unanswered,
)
from affect_mllm.eval.generate.usage import Price, took
from affect_mllm.eval.generate.views import View
from affect_mllm.eval.replies import request_hash
from affect_mllm.models.decoding import GREEDY, Repeat
from affect_mllm.types import ConfigError, DataError, Sample

_SENSES = {"face": "see", "audio": "hear", "text": "read"}


@dataclass(frozen=True)
class Drawn:
    """That answers are drawn, and for which rows."""

    repeat: Repeat
    rows: tuple[str, ...]

    def part(self, start: int, end: int) -> Drawn:
        """For some of the rows."""
        return Drawn(self.repeat, self.rows[start:end])


class OtherModel(Protocol):
    """A turn in, an answer out."""

    @property
    def name(self) -> str:
        """What stands as `checkpoint` beside its scores: short, and no other model's."""
        ...

    @property
    def sees(self) -> bool:
        """Whether it takes pictures."""
        ...

    @property
    def hears(self) -> bool:
        """Whether it takes sounds."""
        ...

    @property
    def films(self) -> bool:
        """Whether it takes a video as one part, not as its pictures."""
        ...

    def identity(self) -> dict[str, Any]:
        """What decides its answers: where its weights are, and what they are computed in."""
        ...

    def generate(
        self, turns: Sequence[Turn], *, system: str, max_new_tokens: int, drawn: Drawn | None = None
    ) -> list[Reply]:
        """One answer a turn, greedy or `drawn` for the turns' rows."""
        ...


@dataclass(frozen=True)
class OtherAsker:
    """Another model with the reader, system message and rows of our own evaluation."""

    model: OtherModel
    reader: Reader
    system: str
    max_new_tokens: int
    data: str = ""
    chunk: int = 32
    repeat: Repeat | None = None  # greedy answers without one
    price: Price | None = None

    def answer(
        self,
        samples: Sequence[Sample],
        question: Question,
        view: View = WHOLE,
        choose: Choose = everything,
    ) -> Iterator[dict[str, Any]]:
        """One prediction row a sample; a row of which nothing is left gets an empty answer, and so
        does one for which no reply came.

        Raises ConfigError for a view of which the model takes nothing.
        """
        stamp, able = self.stamp(question), check_taken(self.model, view)
        able["films"] = self.model.films
        for batch in choose(batches_of(samples, lambda sample: 0, self.chunk)):
            asked: list[tuple[Sample, Turn]] = []
            for sample in batch:
                try:
                    asked.append((sample, turn_of(self.reader, sample, question, view, **able)))
                except DataError as error:
                    yield {**unanswered(sample, error), **stamp}
            turns = [turn for _, turn in asked]
            rows = tuple(sample.id for sample, _ in asked)
            replies = self.model.generate(
                turns,
                system=self.system,
                max_new_tokens=self.max_new_tokens,
                drawn=self.repeat and Drawn(self.repeat, rows),
            )
            for (sample, turn), reply in zip(asked, replies, strict=True):
                yield {**self._row(sample, turn, reply), **stamp}

    def _row(self, sample: Sample, turn: Turn, reply: Reply) -> dict[str, Any]:
        """With what the answer took, as far as that is known."""
        if reply.error is not None:
            told = {"response": "", "error": f"row {sample.id}: {reply.error}", "modalities": []}
            return {"id": sample.id, **told}
        notes: dict[str, Any] = {"kept": True} if reply.kept else {}
        used: dict[str, Any] = {"tokens_in": reply.tokens_in, "tokens_out": reply.tokens_out}
        if reply.batch_rows is None:
            used["seconds"] = reply.seconds
        elif reply.seconds is not None:  # the same answers come in another time: no part of the row
            notes |= took(reply.seconds, reply.batch_rows)
        if self.price is not None:
            used["cost"] = self.price.of(used)
        return {
            "id": sample.id,
            "response": reply.text,
            "finish_reason": reply.finish_reason,
            "modalities": [*turn.seen],
            **{key: value for key, value in used.items() if value is not None},
            **notes,
        }

    def drawing(self, repeat: Repeat | None) -> OtherAsker:
        """The same, with answers that are drawn; greedy ones without a repeat."""
        return replace(self, repeat=repeat)

    def stamp(self, question: Question) -> dict[str, str]:
        """Model, prompt, reader and data."""
        how = f"{self.repeat or GREEDY}, at most {self.max_new_tokens} tokens"
        told = json.dumps([self.system, question.text, self.reader.settings()], sort_keys=True)
        return {
            "prompt_hash": hashlib.sha256(told.encode()).hexdigest()[:16],
            "checkpoint": self.model.name,
            "data": f"{self.data[:16]}, {how}",
        }


def check_taken(model: OtherModel, view: View) -> dict[str, bool]:
    """What the model is able to; ConfigError for a view of which it takes nothing."""
    able = {"sees": model.sees, "hears": model.hears}
    if not taken_of(view, **able):
        raise ConfigError(
            "subsets",
            f"{view.name}, which {model.name} cannot "
            + " or ".join(_SENSES[name] for name in view.modalities),
            expected="a subset of what it takes: " + "+".join(taken_of(WHOLE, **able)),
        )
    return able


def short_name(model: str, identity: dict[str, Any]) -> str:
    """The last part of a model's path, and a hash of the rest of what it is."""
    return f"{model.rstrip('/').rpartition('/')[2]}-{request_hash(identity)[:8]}"
