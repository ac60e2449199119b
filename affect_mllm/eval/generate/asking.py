"""Generation: a benchmark's question asked about every row, answers kept as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from affect_mllm.data.ahead import Ahead
from affect_mllm.data.example import ExampleMaker
from affect_mllm.data.features import Features
from affect_mllm.data.lengths import Lengths
from affect_mllm.eval.generate.examples import Examples
from affect_mllm.eval.generate.pieces import Heard, Pieces
from affect_mllm.eval.generate.question import (
    WHOLE,
    Choose,
    Question,
    batches_of,
    everything,
    unanswered,
)
from affect_mllm.eval.generate.usage import took
from affect_mllm.eval.generate.views import View
from affect_mllm.models.decoding import GREEDY, Repeat
from affect_mllm.models.label_head import LabelHead, seen
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.types import Batch, Sample

AHEAD = 2  # batches that a worker has ready at most


@dataclass(frozen=True)
class Asker:
    """A model with what it needs to be asked: examples, features, and the checkpoint's hash.

    `donors[modality]` gives the rows that a view's `swap` takes that modality from. With `labels`
    nothing is generated: a row's `scores` are the log-likelihoods of these labels, by the LLM or by
    a `head` on media tokens whose classes they are, its response the likeliest one. With `repeat`
    answers are drawn, the same ones in any batch. `workers` processes read clips ahead, `AHEAD`
    batches each. `lengths` tell which rows are long. `heard` is told the answers while they are
    written; a row that nobody listens to any more ends early.
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
    head: LabelHead | None = None
    truth: str = ""  # which of the head's labels
    repeat: Repeat | None = None
    workers: int = 0
    lengths: Lengths = field(default_factory=Lengths)
    heard: Heard | None = None

    def answer(
        self,
        samples: Sequence[Sample],
        question: Question,
        view: View = WHOLE,
        choose: Choose = everything,
    ) -> Iterator[dict[str, Any]]:
        """One prediction row a sample of the chosen batches (`question.batches_of`).

        A row that cannot be asked about gets an empty answer and is never dropped: it says why as
        `unseen`, if it merely has none of the view's modalities, else as `error`. The others say
        what their batch `took` (`usage.took`), which no file of answers keeps.
        """
        stamp = self.stamp(question) | ({"swap": view.swap} if view.swap else {})
        examples = Examples(self.maker, self.features, question, view, self.donors, self.lengths)
        words: dict[str, tuple[str, ...]] = {}
        if self.labels and question.words_of is not None:
            words = {sample.id: question.words_of(sample) for sample in samples}
        batches = choose(batches_of(samples, examples.planned, self.batch_size))
        for made in Ahead(examples.made, batches, workers=self.workers, each=AHEAD):
            for sample, error in made.refused:
                yield {**unanswered(sample, error), **stamp}
            if made.batch is not None:
                for row in self._generate(made.batch, made.rows, words):
                    yield {**row, **stamp}

    def drawing(self, repeat: Repeat | None) -> Asker:
        """The same, with answers that are drawn; greedy ones without a repeat."""
        return replace(self, repeat=repeat)

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
        if self.head is not None:
            return f"the head of {self.truth} among {', '.join(self.labels)}"
        if self.labels:
            return f"likelihoods of {', '.join(self.labels)}, with {end}"
        return f"{self.repeat or GREEDY} up to {end}, at most {self.max_new_tokens} tokens"

    def _generate(
        self,
        batch: Batch,
        rows: Sequence[dict[str, Any]],
        words: Mapping[str, tuple[str, ...]],
    ) -> Iterator[dict[str, Any]]:
        began = time.monotonic()
        moved = batch.to(self.model.llm.device)
        device = self.model.llm.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.model.llm.is_bf16):
            found = self._compared(moved, words) if self.labels else self._written(moved)
        batch_took = took(time.monotonic() - began, len(rows))  # answers are numbers and texts now
        read = batch.on_host.segments
        lengths = torch.bincount(read[read >= 0].flatten(), minlength=len(rows)).tolist()
        for row, answer, length in zip(rows, found, lengths, strict=True):
            notes = {key: value for key, value in row.items() if key not in ("id", "modalities")}
            yield {"id": row["id"], "modalities": row["modalities"], "tokens_in": length,
                   **answer, **notes, **batch_took}  # fmt: skip

    def _written(self, batch: Batch) -> list[dict[str, Any]]:
        """Answers, and the gates of each example."""
        chat = self.maker.chat
        pieces = self.heard and Pieces(chat, batch.sample_ids, self.heard)
        answers, cut_off, counts, gates = self.model.written(
            batch,
            max_new_tokens=self.max_new_tokens,
            end_id=chat.end_id,
            listener=pieces,
            chooser=self.repeat and self.repeat.chooser(batch.sample_ids, self.max_new_tokens),
        )
        texts = [chat.answer_text(answer) for answer in answers]
        if pieces is not None:
            pieces.end(texts)
        return [
            {
                "response": text,
                "finish_reason": "length" if cut_off[number] else "stop",
                "tokens_out": counts[number],
                "gate": {name: rows[number] for name, rows in gates.items() if number in rows},
            }
            for number, text in enumerate(texts)
        ]

    def _compared(self, batch: Batch, words: Mapping[str, tuple[str, ...]]) -> list[dict[str, Any]]:
        """Log-likelihoods of the labels as rows' questions name them, and the likeliest one."""
        if self.head is not None:
            return self._told_by(self.head, batch)
        from affect_mllm.models.likelihood import label_log_likelihoods

        named = [words.get(row, self.labels) for row in batch.sample_ids]
        every = list(dict.fromkeys(word for row in named for word in row))
        ids = [self.maker.chat.answer_ids(word) for word in every]
        found = label_log_likelihoods(self.model, batch, ids).tolist()
        scores = [
            {label: row[every.index(word)] for label, word in zip(self.labels, own, strict=True)}
            for row, own in zip(found, named, strict=True)
        ]
        return [{"response": max(row, key=row.__getitem__), "scores": row} for row in scores]

    @torch.no_grad()
    def _told_by(self, head: LabelHead, batch: Batch) -> list[dict[str, Any]]:
        """What the head says; nothing of an example without media."""
        tokens, _ = self.model.media_tokens(batch)
        which = seen(tokens)
        found = head(tokens, which)[self.truth].log_softmax(-1).tolist() if which else []
        rows = dict(zip(which, found, strict=True))
        told: list[dict[str, Any]] = [{"response": ""} for _ in batch.sample_ids]
        for place, row in rows.items():
            scores = dict(zip(self.labels, row, strict=True))
            told[place] = {"response": max(scores, key=scores.__getitem__), "scores": scores}
        return told
