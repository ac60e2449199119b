"""Generation: a benchmark's question asked about every row, answers kept as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example, ExampleMaker
from affect_mllm.data.features import Features
from affect_mllm.data.messages import media_of
from affect_mllm.eval.generate.views import VISUAL, View
from affect_mllm.log import LOGGER
from affect_mllm.models.decoding import GREEDY, Repeat
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.types import Batch, DataError, Sample, modality_of

WHOLE = View()


@dataclass(frozen=True)
class Question:
    """What is asked: the same `text` of every row, or what `of_row` makes of it for each."""

    text: str
    of_row: Callable[[Sample], str] | None = None

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


class Answers(Protocol):
    """What can be asked: a checkpoint of ours, or another model on the same way."""

    def answer(
        self, samples: Sequence[Sample], question: Question, view: View = WHOLE
    ) -> Iterator[dict[str, Any]]:
        """One prediction row a sample, in any order."""
        ...

    def stamp(self, question: Question) -> dict[str, str]:
        """What every row of one run has in common; answers of another stamp are not re-used."""
        ...


@dataclass(frozen=True)
class Asker:
    """A model with what it needs to be asked: examples, features, and the checkpoint's hash.

    `donors[modality]` gives the rows that a view's `swap` takes that modality from. With `labels`
    nothing is generated: a row's `scores` are the log-likelihoods of these labels, its response
    the likeliest one. With `repeat` answers are drawn, the same ones in any batch.
    """

    model: AffectMLLM
    maker: ExampleMaker
    features: Features
    checkpoint: str
    batch_size: int = 32
    max_new_tokens: int = 12
    data: str = ""  # hash of the manifest that the rows come from
    donors: Mapping[str, Mapping[str, Sample]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    repeat: Repeat | None = None

    def answer(
        self, samples: Sequence[Sample], question: Question, view: View = WHOLE
    ) -> Iterator[dict[str, Any]]:
        """One prediction row a sample, in batches of similar length, the longest first.

        A row that cannot be asked about gets an empty answer and is never dropped: it says why as
        `unseen`, if it merely has none of the view's modalities, else as `error`.
        """
        examples: list[Example] = []
        seen_text: set[str] = set()
        notes: dict[str, dict[str, Any]] = {}
        stamp = self.stamp(question) | ({"swap": view.swap} if view.swap else {})
        for sample in samples:
            try:
                example, note = self._example(sample, question, view)
            except DataError as error:
                yield {**unanswered(sample, error), **stamp}
                continue
            examples.append(example)
            notes[sample.id] = note
            words = sample.subtitle or sample.is_words
            seen_text |= {sample.id} if words and "text" in view.modalities else set()
        # The longest first: what does not fit into memory shows at once.
        examples.sort(key=lambda example: (-len(example), example.sample_id))
        for start in range(0, len(examples), self.batch_size):
            batch = examples[start : start + self.batch_size]
            for row in self._generate(batch, seen_text):
                yield {**row, **notes[row["id"]], **stamp}

    def stamp(self, question: Question) -> dict[str, str]:
        """Checkpoint, prompt, data, and how an answer is made and ended."""
        return {
            "prompt_hash": self.maker.prompt_hash(question.text),
            "checkpoint": self.checkpoint,
            "data": f"{self.data[:16]}, {self._how}",
        }

    @property
    def _how(self) -> str:
        chat = self.maker.chat
        end = chat.tokenizer.convert_ids_to_tokens(chat.end_id)
        if self.labels:
            return f"likelihoods of {', '.join(self.labels)}, with {end}"
        return f"{self.repeat or GREEDY} up to {end}, at most {self.max_new_tokens} tokens"

    def _example(
        self, sample: Sample, question: Question, view: View
    ) -> tuple[Example, dict[str, Any]]:
        arrays = self.features.clip(sample).arrays
        note: dict[str, Any] = {}
        donor = self.donors.get(view.swap or "", {}).get(sample.id)
        if donor is not None and view.swap is not None:
            note = {"donor": donor.id}
            arrays, sample = self._swapped(sample, arrays, donor, view.swap)
        order = self.maker.prompt.order  # a cache gives the arrays in any order
        modalities = [*order, *map(modality_of, arrays)]
        names = sorted(arrays, key=lambda name: modalities.index(modality_of(name)))
        seen = [name for name in names if _kind(name) in view.modalities]
        asked = question.about(sample)
        media = {name: arrays[name] for name in media_of(sample, seen, asked)}
        words = sample.subtitle or sample.is_words
        if not media and not (words and "text" in view.modalities):
            raise Unseen(
                f"row {sample.id}",
                "no picture, no sound and no text",
                expected=f"at least one of {', '.join(view.modalities)}",
            )
        example = self.maker.make(
            sample,
            media,
            question=asked,
            subtitle="text" in view.modalities,
            encoded=self.features.encoded,
        )
        return example, note

    def _swapped(
        self, sample: Sample, arrays: Mapping[str, Any], donor: Sample, modality: str
    ) -> tuple[dict[str, Any], Sample]:
        """The row with one modality of the donor's."""
        from dataclasses import replace

        if modality == "text":
            return dict(arrays), replace(sample, subtitle=donor.subtitle)
        theirs = self.features.clip(donor).arrays
        kept = {name: array for name, array in arrays.items() if _kind(name) != modality}
        taken = {name: array for name, array in theirs.items() if _kind(name) == modality}
        return {**kept, **taken}, sample

    def _generate(self, examples: Sequence[Example], texts: set[str]) -> Iterator[dict[str, Any]]:
        pad_id = self.maker.chat.tokenizer.pad_token_id or 0
        batch = collate(examples, pad_id=pad_id).to(self.model.llm.device)
        device = self.model.llm.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.model.llm.is_bf16):
            rows = self._compared(batch) if self.labels else self._written(batch, examples)
        for example, row in zip(examples, rows, strict=True):
            words = ["text"] if example.sample_id in texts else []
            seen = dict.fromkeys(map(modality_of, example.media))
            yield {"id": example.sample_id, "modalities": [*seen, *words], **row}

    def _written(self, batch: Batch, examples: Sequence[Example]) -> list[dict[str, Any]]:
        """Answers, and the gates of each example."""
        ids = [example.sample_id for example in examples]
        answers, cut_off, gates = self.model.written(
            batch,
            max_new_tokens=self.max_new_tokens,
            end_id=self.maker.chat.end_id,
            chooser=self.repeat and self.repeat.chooser(ids, self.max_new_tokens),
        )
        return [
            {
                "response": self.maker.chat.answer_text(response),
                "finish_reason": "length" if cut_off[number] else "stop",
                "gate": {name: rows[number] for name, rows in gates.items() if number in rows},
            }
            for number, response in enumerate(answers)
        ]

    def _compared(self, batch: Batch) -> list[dict[str, Any]]:
        """Log-likelihoods of the labels, and the likeliest one."""
        from affect_mllm.models.likelihood import label_log_likelihoods

        ids = [self.maker.chat.answer_ids(label) for label in self.labels]
        found = label_log_likelihoods(self.model, batch, ids).tolist()
        scores = [dict(zip(self.labels, row, strict=True)) for row in found]
        return [{"response": max(row, key=row.__getitem__), "scores": row} for row in scores]


def _kind(name: str) -> str:
    """The modality of a view that an array's name belongs to."""
    return "face" if modality_of(name) in VISUAL else modality_of(name)
