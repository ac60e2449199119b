"""Instructions and prompts: a manifest row to the segments of a chat, and the answer to learn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from affect_mllm.types import ConfigError, DataError, Placeholder, Sample

NAMES = {"face": "Face", "frame": "Video", "image": "Image", "audio": "Voice", "multi": "Fused"}


@dataclass(frozen=True)
class Media:
    """A media placeholder in a prompt."""

    modality: str


Segments = list[str | Media]


@dataclass(frozen=True)
class Instruction:
    """One kind of question: phrasings, and an answer written with the row's labels.

    `answer` is a format string over `Sample.labels` (`"{emotion}"`); a list label is joined with
    commas. `only` names what the model may see (`face`, `audio`, `text`, …); empty: everything.
    `droppable`: modality dropout may hide a modality from it. `allowed`: the label space of a
    closed question, where `answer` is a single label.
    """

    questions: tuple[str, ...]
    answer: str
    only: tuple[str, ...] = ()
    droppable: bool = False
    allowed: tuple[str, ...] = ()

    @property
    def needs(self) -> list[str]:
        """The labels that the answer is made of."""
        return [name for _, name, _, _ in Formatter().parse(self.answer) if name]

    def answer_for(self, sample: Sample) -> str:
        """The answer text. Raises DataError naming the row if it lacks a label."""
        needed = self.needs
        missing = [name for name in needed if name not in sample.labels]
        if missing:
            raise DataError(
                f"row {sample.id}",
                f"no label {', '.join(missing)}",
                expected=f"what the answer {self.answer!r} needs",
            )
        return self.answer.format(**{name: _text(sample.labels[name]) for name in needed})


@dataclass(frozen=True)
class Prompt:
    """How a question is put: system message, one line a modality, the subtitle, the question.

    The chat format is the LLM's own template. `order` is the order of the media lines.
    """

    system: str = "You recognise emotions."
    order: tuple[str, ...] = ("face", "frame", "image", "audio", "multi")
    names: dict[str, str] = field(default_factory=lambda: dict(NAMES))

    def user(self, modalities: Sequence[str], subtitle: str | None, question: str) -> Segments:
        """Text and media placeholders of the user's turn; what is absent is not mentioned."""
        segments: Segments = []
        for modality in self.order:
            if modality in modalities:
                segments += [f"{self.names[modality]}: ", Media(modality), "\n"]
        if subtitle:
            segments.append(f"Subtitle: {subtitle}\n")
        return [*segments, question]


@dataclass(frozen=True)
class ChatFormat:
    """An LLM's chat template, split so that only its own parts may become special tokens."""

    tokenizer: Any

    def prompt_ids(
        self, system: str, user: Segments, places: Mapping[str, int | Placeholder]
    ) -> tuple[list[int], list[tuple[str, int, int]]]:
        """Ids of system and user turn up to where the answer starts, and its media spans.

        A medium takes what `places[modality]` says; spans are (modality, start, length).
        """
        before, after = self._frame(system)
        ids, spans = self._special(before), []
        for segment in user:
            if isinstance(segment, Media):
                place = places[segment.modality]
                place = Placeholder(place) if isinstance(place, int) else place
                ids += place.before
                spans.append((segment.modality, len(ids), place.length))
                filler = self._filler if place.filler is None else place.filler
                ids += [filler] * place.length
                ids += place.after
            else:
                ids += self.text_ids(segment)
        return ids + self._special(after), spans

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of the answer and of what ends a turn."""
        return [*self.text_ids(answer), self.end_id]

    def text_ids(self, text: str) -> list[int]:
        """Ids of plain text: what looks like a special token in it stays text."""
        return self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
        ).input_ids

    @property
    def end_id(self) -> int:
        """The token that ends the assistant's turn in this template."""
        slot = "\x00"
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": slot}]
        tail = self._render(turns, generate=False).split(slot)[-1]
        return self._special(tail)[0]

    @property
    def _filler(self) -> int:
        return int(self.tokenizer.pad_token_id or self.tokenizer.eos_token_id)

    def _frame(self, system: str) -> tuple[str, str]:
        slot = "\x00"
        turns = [{"role": "system", "content": system}] if system else []
        parts = self._render([*turns, {"role": "user", "content": slot}], generate=True).split(slot)
        if len(parts) != 2:
            raise ConfigError("tokenizer", "its chat template does not keep the user's text once")
        return parts[0], parts[1]

    def _render(self, turns: list[dict[str, str]], *, generate: bool) -> str:
        if self.tokenizer.chat_template is None:
            raise ConfigError("tokenizer", "no chat template", fix="use an instruction-tuned LLM")
        return self.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=generate
        )

    def _special(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return re.sub(r"\s+", " ", str(value)).strip()
