"""Generation: a benchmark's question asked about every row, answers kept as they come."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example, ExampleMaker
from affect_mllm.data.features import Features
from affect_mllm.log import LOGGER
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.types import DataError, Sample

VISUAL = ("face", "frame", "image")
ALL = ("face", "audio", "text")


@dataclass(frozen=True)
class Asker:
    """A model with what it needs to be asked: examples, features, and the checkpoint's hash."""

    model: AffectMLLM
    maker: ExampleMaker
    features: Features
    checkpoint: str
    batch_size: int = 32
    max_new_tokens: int = 12
    data: str = ""  # hash of the manifest that the rows come from

    def answer(
        self, samples: Sequence[Sample], question: str, subset: Sequence[str] = ALL
    ) -> Iterator[dict[str, Any]]:
        """One prediction row a sample, in batches of similar length; the order is not kept.

        `subset` is what the model may see (`face` stands for any picture). A row of which
        nothing is left gets an empty answer and says so; it is never dropped.
        """
        examples: list[Example] = []
        stamp = self.stamp(question)
        for sample in samples:
            try:
                examples.append(self._example(sample, question, subset))
            except DataError as error:
                LOGGER.warning("no answer: %s", error)
                row = {"id": sample.id, "response": "", "error": str(error), "modalities": []}
                yield {**row, **stamp}
        examples.sort(key=lambda example: (len(example), example.sample_id))
        texts = {sample.id for sample in samples if sample.subtitle and "text" in subset}
        for start in range(0, len(examples), self.batch_size):
            batch = examples[start : start + self.batch_size]
            for row in self._generate(batch, texts):
                yield {**row, **stamp}

    def stamp(self, question: str) -> dict[str, str]:
        """What every row of one run has in common; answers of another stamp are not re-used."""
        return {
            "prompt_hash": self.prompt_hash(question),
            "checkpoint": self.checkpoint,
            "data": f"{self.data[:16]}, at most {self.max_new_tokens} tokens",
        }

    def prompt_hash(self, question: str) -> str:
        """Hash of everything that decides the prompt besides the row itself."""
        return self.maker.prompt_hash(question)

    def _example(self, sample: Sample, question: str, subset: Sequence[str]) -> Example:
        media = {
            name: array
            for name, array in self.features.clip(sample).arrays.items()
            if ("face" if name in VISUAL else name) in subset
        }
        return self.maker.make(
            sample,
            media,
            question=question,
            subtitle="text" in subset,
            encoded=self.features.encoded,
        )

    def _generate(self, examples: Sequence[Example], texts: set[str]) -> Iterator[dict[str, Any]]:
        pad_id = self.maker.chat.tokenizer.pad_token_id or 0
        batch = collate(examples, pad_id=pad_id).to(self.model.llm.device)
        device = self.model.llm.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.model.llm.is_bf16):
            answers, gates = self.model.generate(batch, max_new_tokens=self.max_new_tokens)
        for number, (example, response) in enumerate(zip(examples, answers, strict=True)):
            yield {
                "id": example.sample_id,
                "response": self.maker.chat.answer_text(response),
                "modalities": [*example.media, *(["text"] if example.sample_id in texts else [])],
                "gate": {name: rows[number] for name, rows in gates.items() if number in rows},
            }


def predict_file(
    path: Path,
    samples: Sequence[Sample],
    ask: Callable[[Sequence[Sample]], Iterator[Mapping[str, Any]]],
    *,
    stamp: Mapping[str, str],
) -> bool:
    """Write `path` with a row for every sample, in the samples' order; False if it was re-used.

    Answers go to `path.partial` as they come, so that a killed run asks only for the rest.
    Rows of another checkpoint or prompt (`stamp`) are never mixed in.
    """
    ids = [sample.id for sample in samples]
    done = _rows(path, stamp)
    if set(ids) <= set(done):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    done = _rows(partial, stamp)
    with partial.open("w") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in done.values())
        for row in ask([sample for sample in samples if sample.id not in done]):
            done[row["id"]] = dict(row)
            stream.write(json.dumps(row) + "\n")
            stream.flush()
    finished = path.with_name(path.name + ".writing")
    finished.write_text("".join(json.dumps(done[name]) + "\n" for name in ids))
    os.replace(finished, path)
    partial.unlink()
    return True


def _rows(path: Path, stamp: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The whole rows of a file that carry this stamp, by id; a torn last line is left out."""
    if not path.is_file():
        return {}
    lines = path.read_text().splitlines(keepends=True)
    rows = (json.loads(line) for line in lines if line.endswith("\n"))
    return {row["id"]: row for row in rows if all(row.get(k) == v for k, v in stamp.items())}


def subset_name(subset: Sequence[str]) -> str:
    """`face+audio+text` and its like."""
    return "+".join(name for name in ALL if name in subset)
