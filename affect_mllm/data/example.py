"""One example: token ids, labels, media arrays and the spans where their tokens go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from affect_mllm.data.template import ChatFormat, Instruction, Prompt
from affect_mllm.types import DataError, Patches, Placeholder, Sample, Span, SpanRule


@dataclass(frozen=True)
class Example:
    """Ids `[L]`, labels `[L]` (−100 on the prompt), spans, and media arrays by modality.

    `encoded`: the arrays are encoder states `[S, D]`, not encoder inputs. `truth`: the row's
    labels.
    """

    sample_id: str
    input_ids: list[int]
    labels: list[int]
    spans: tuple[Span, ...]
    media: dict[str, np.ndarray | Patches]
    encoded: bool
    truth: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True)
class ExampleMaker:
    """Puts a row, what may be seen of it and a question together, the same way everywhere."""

    chat: ChatFormat
    prompt: Prompt
    span_lengths: dict[str, SpanRule]
    fused: bool
    max_tokens: int = 1024

    def make(
        self,
        sample: Sample,
        media: Mapping[str, np.ndarray | Patches],
        *,
        question: str,
        answer: str | None = None,
        subtitle: bool = True,
        encoded: bool = True,
    ) -> Example:
        """The example; without `answer` it is a prompt to generate from.

        Raises DataError when nothing at all is left to look at, or when it is longer than
        `max_tokens`: a media span or an answer is never cut.
        """
        text = sample.subtitle if subtitle else None
        if not media and not text:
            raise DataError(
                f"row {sample.id}",
                "no picture, no sound and no text",
                expected="at least one modality",
            )
        names = [*media, *(["multi"] if self.fused and media else [])]
        user = self.prompt.user(names, text, question)
        ids, places = self.chat.prompt_ids(self.prompt.system, user, self._places(names, media))
        target = self.chat.answer_ids(answer) if answer is not None else []
        if len(ids) + len(target) > self.max_tokens:
            raise DataError(
                f"row {sample.id}",
                f"{len(ids) + len(target)} tokens",
                expected=f"at most {self.max_tokens}",
                fix="raise data.max_tokens",
            )
        spans = tuple(Span(name, start, length) for name, start, length in places)
        labels = [-100] * len(ids) + target
        return Example(sample.id, ids + target, labels, spans, dict(media), encoded, sample.labels)

    def _places(
        self, names: Sequence[str], media: Mapping[str, np.ndarray | Patches]
    ) -> dict[str, int | Placeholder]:
        rules = {name: self.span_lengths[name] for name in names}
        return {
            name: rule if isinstance(rule, int) else rule(media[name])
            for name, rule in rules.items()
        }


def visible(
    available: Sequence[str], instruction: Instruction, dropout: float, rng: np.random.Generator
) -> set[str]:
    """What an example may see: the instruction's choice, thinned by modality dropout.

    With probability `dropout` a random proper, non-empty subset of what is there stays (each
    subset as likely as another). An instruction about what is not there sees nothing.
    """
    seen = [name for name in available if not instruction.only or name in instruction.only]
    if instruction.droppable and len(seen) > 1 and rng.random() < dropout:
        choice = int(rng.integers(1, 2 ** len(seen) - 1))
        seen = [name for bit, name in enumerate(seen) if choice >> bit & 1]
    return set(seen)
