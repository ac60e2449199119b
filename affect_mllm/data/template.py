"""What is said: instructions (question and answer of a row) and prompts (how media are named)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, Literal, NamedTuple

import numpy as np

from affect_mllm.data import languages
from affect_mllm.data.languages import Language
from affect_mllm.data.row_checks import LABEL_RANGES, values_outside
from affect_mllm.types import ConfigError, DataError, Sample, modality_of

LINES = {
    "face": "Face: {}\n",
    "frame": "Video: {}\n",
    "image": "Image: {}\n",
    "audio": "Voice: {}\n",
    "multi": "Fused: {}\n",
}
# What a question may name besides plain words; the labels themselves would give the answer away.
OF_THE_TASK = ("labels", "low", "high", "name")
OF_THE_ROW = ("speaker", "context", "cues")
NOTHING_YET = "(nothing yet)"  # the context of a dialogue's first turn


@dataclass(frozen=True)
class Media:
    """A media placeholder in a prompt: a modality, or `image.2`, that of the row's second clip."""

    modality: str


Segments = list[str | Media]


class Turn(NamedTuple):
    """One turn of a chat: who speaks, and text with media placeholders."""

    role: Literal["system", "user", "assistant"]
    content: Segments


@dataclass(frozen=True)
class Instruction:
    """One kind of question: phrasings, and answers written with the row's labels.

    `questions` are format strings: `{labels}` is the label space (`allowed`), `{low}` and `{high}`
    the range of a number, `{name}` what the label of the answer is called, `{speaker}` and
    `{context}` (the label of that name: earlier turns of a dialogue) come from the row, as does
    `{cues}` (what `affect-mllm cues` measured). `answer`,
    one phrasing or several, is written with `Sample.labels` (`"{emotion}"`, `"{valence:.2f}"`); a
    list label is joined with commas.
    `only` names what the model may see (`face`, `audio`, `text`, …); empty: everything.
    `droppable`: modality dropout may hide a modality from it. `shuffle_labels` lists the label
    space in another order for every example. `scale` is the range that a number is stated in,
    where it differs from the manifest's (valence: −1 to 1); of a number that a manifest may have
    in any range, it is that range. `rejected` is written like an answer and stands beside it as the
    one that is not preferred, for losses that compare the two. A wording taken from elsewhere says
    so in `source` and `licence`. `language` (`row`, or one of `languages.yaml`) puts question and
    labels in the row's language or in that one, where they are translated; null: as they are
    written here. Raises ConfigError for a question that names something else.
    """

    questions: tuple[str, ...]
    answer: str | tuple[str, ...]
    only: tuple[str, ...] = ()
    droppable: bool = False
    allowed: tuple[str, ...] = ()
    shuffle_labels: bool = False
    scale: tuple[float, float] | None = None
    source: str = ""
    licence: str = ""
    rejected: str = ""
    language: str | None = None

    def __post_init__(self) -> None:
        languages.check(self.language, "instruction.language")
        for question in self.questions:
            unknown = set(_fields(question)) - {*OF_THE_TASK, *OF_THE_ROW}
            if unknown:
                raise ConfigError(
                    "instruction.questions",
                    f"{question!r} names {sorted(unknown)}",
                    expected=f"some of {[*OF_THE_TASK, *OF_THE_ROW]}; a brace is written {{{{",
                )
            if "labels" in _fields(question) and not self.allowed:
                raise ConfigError(
                    "instruction.allowed",
                    f"empty, but {question!r} lists it",
                    fix="give the labels: allowed=[…]",
                )
            if {"low", "high"} & set(_fields(question)):
                self._range()
        if self.scale is not None:
            self._range()
        check_source("instruction", self.source, self.licence)

    @property
    def answers(self) -> tuple[str, ...]:
        """The phrasings of the answer."""
        return (self.answer,) if isinstance(self.answer, str) else tuple(self.answer)

    @property
    def needs(self) -> list[str]:
        """The labels that the answers are made of."""
        written = (*self.answers, self.rejected)
        return list(dict.fromkeys(name for answer in written for name in _fields(answer)))

    @property
    def labels_used(self) -> list[str]:
        """The labels that a row has to have to be asked: the answers', and those of questions."""
        asked = [name for question in self.questions for name in _fields(question)]
        return list(dict.fromkeys([*self.needs, *(n for n in asked if n in ("context", "cues"))]))

    def ask(self, sample: Sample, rng: np.random.Generator) -> tuple[str, str | tuple[str, str]]:
        """A question about the row and its answer, one phrasing of each, or a pair of answers.

        Raises DataError naming the row if it lacks a label or has one outside `allowed`.
        """
        question = self.questions[int(rng.integers(len(self.questions)))]
        several = len(self.answers) > 1
        answer = self.answers[int(rng.integers(len(self.answers))) if several else 0]
        space = list(self.allowed)
        if self.shuffle_labels:
            space = [space[i] for i in rng.permutation(len(space))]
        values = {name: of_row(sample, name) for name in _fields(question) if name in OF_THE_ROW}
        language = self._language(sample, question, answer, self.rejected)
        form = question if language is None else language.questions.get(question, question)
        asked = form.format(**values, **self._task(question, space, language))
        said = self._write(sample, answer, language)
        other = self.rejected and self._write(sample, self.rejected, language)
        return asked, (said, other) if other else said

    def _language(self, sample: Sample, *phrasings: str) -> Language | None:
        """What a row is asked in; None: as it is written, which holds for all phrasings or none."""
        found = languages.chosen(self.language, sample.language)
        if found is None:
            return None
        for phrasing in phrasings:
            bare = not re.search(r"[^\W\d_]", re.sub(r"\{[^{}]*\}", "", phrasing))
            if phrasing not in found.questions and not bare:
                languages.untranslated(found.code, phrasing)
                return None
        return found

    def answer_for(self, sample: Sample) -> str:
        """The answer in its first phrasing. Raises DataError as `ask`."""
        return self._write(sample, self.answers[0])

    def plain_question(self) -> str:
        """The first phrasing, for a clip without a row. Raises ConfigError if it needs a row."""
        question = self.questions[0]
        of_row = [name for name in _fields(question) if name in OF_THE_ROW]
        if of_row:
            raise ConfigError(
                "instruction.questions", f"{question!r} needs {of_row}", fix="give --question TEXT"
            )
        return question.format(**self._task(question, list(self.allowed)))

    def _task(
        self, question: str, space: Sequence[str], language: Language | None = None
    ) -> dict[str, str]:
        listed = space if language is None else language.labels(space)
        name = ", ".join(self.needs).replace("_", " ")
        values = {
            "labels": ", ".join(listed),
            "name": name if language is None else language.name(name),
        }
        if {"low", "high"} & set(_fields(question)):
            low, high = self.scale or self._range()
            values |= {"low": f"{low:g}", "high": f"{high:g}"}
        return values

    def _write(self, sample: Sample, answer: str, language: Language | None = None) -> str:
        needed = list(_fields(answer))
        missing = [name for name in needed if name not in sample.labels]
        if missing:
            raise DataError(
                f"row {sample.id}",
                f"no label {', '.join(missing)}",
                expected=f"what the answer {answer!r} needs",
            )
        for name in needed if self.allowed else ():
            if outside := values_outside(sample.labels[name], self.allowed):
                raise DataError(
                    f"row {sample.id}",
                    f"labels.{name} is {', '.join(map(repr, outside))}",
                    expected=f"one of {', '.join(self.allowed)}",
                )
        parts = [
            before + ("" if name is None else self._value(sample, name, spec or "", language))
            for before, name, spec, _ in Formatter().parse(answer)
        ]
        return "".join(parts)

    def _value(self, sample: Sample, name: str, spec: str, language: Language | None) -> str:
        value = sample.labels[name]
        if language is not None:
            value = language.value(value, self.allowed)
        if self.scale is not None:
            (low, high), (new_low, new_high) = self._range(), self.scale
            value = new_low + (float(value) - low) / (high - low) * (new_high - new_low)
        if not spec:
            return _text(value)
        try:
            text = format(value, spec)
        except (ValueError, TypeError) as error:
            raise DataError(
                f"row {sample.id}",
                f"labels.{name} is {value!r}: {error}",
                fix=f"make the label a number, or write {{{name}}} without `:{spec}`",
            ) from error
        return text.lstrip("-") if not text.strip("-0.") else text  # never minus zero

    def _range(self) -> tuple[float, float]:
        """The manifest's range of the one number that is asked for."""
        numbers = [name for name in self.needs if name in LABEL_RANGES]
        if not numbers and len(self.needs) == 1 and self.scale is not None:
            return self.scale
        if len(numbers) != 1:
            raise ConfigError(
                "instruction.answer",
                f"{self.answer!r} with a range",
                expected=f"exactly one of {sorted(LABEL_RANGES)}",
            )
        return LABEL_RANGES[numbers[0]]


@dataclass(frozen=True)
class Conversation:
    """The row's own `messages`, every turn of the assistant supervised.

    `only` and `droppable` are as in `Instruction`. `rejected` names the label that holds another
    last answer, which is not preferred: then the two are compared, and nothing else is learnt.
    """

    only: tuple[str, ...] = ()
    droppable: bool = False
    rejected: str = ""

    def answer_beside(self, sample: Sample) -> str | None:
        """The other last answer, if there is to be one. Raises DataError naming the row."""
        if not self.rejected:
            return None
        if not isinstance(found := sample.labels.get(self.rejected), str):
            raise DataError(f"row {sample.id}", f"no label {self.rejected}", expected="an answer")
        return found

    @property
    def allowed(self) -> tuple[str, ...]:
        """No label space: the answers are in the row."""
        return ()


@dataclass(frozen=True)
class Prompt:
    """How a question is put: system message, a line for each medium, the subtitle, the question.

    `lines` have one `{}` each where the medium goes; their order is `order`. In a row of several
    clips those of each stand behind `clip`, with its name in place of `{}`. What is absent is
    not mentioned, but with `keep_subtitle` the subtitle's line stays, empty. A wording taken from
    elsewhere says so in `source` and `licence`.
    `system` is the system message, `subtitle` the line of what is said and `question` that of what
    is asked, each with one `{}`.
    """

    system: str = "You recognise emotions."
    order: tuple[str, ...] = ("face", "frame", "image", "audio", "multi")
    lines: dict[str, str] = field(default_factory=lambda: dict(LINES))
    clip: str = "Clip {}\n"
    subtitle: str = "Subtitle: {}\n"
    question: str = "{}"
    keep_subtitle: bool = False
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        texts = {f"lines.{name}": self.lines.get(name, "") for name in self.order}
        texts |= {"clip": self.clip, "subtitle": self.subtitle, "question": self.question}
        for name, text in texts.items():
            if text.count("{}") != 1:
                raise ConfigError(f"prompt.{name}", repr(text), expected="a text with one {}")
        check_source("prompt", self.source, self.licence)

    def user(self, modalities: Sequence[str], subtitle: str | None, question: str) -> Segments:
        """Text and media placeholders of the user's turn; neighbouring texts are one."""
        return self.around(self.media(modalities), subtitle, [question])

    def media(self, names: Sequence[str]) -> Segments:
        """The lines of a row's or a clip's media."""
        segments: Segments = []
        for modality in self.order:
            for name in names:
                if modality_of(name) == modality:
                    before, after = self.lines[modality].split("{}")
                    segments += [before, Media(name), after]
        return segments

    def of_clips(self, clips: Sequence[tuple[str, Sequence[str]]]) -> Segments:
        """The lines of several clips, of which names and media are given."""
        seen = [(name, media) for name, media in clips if media]
        return [part for name, media in seen
                for part in (self.clip.replace("{}", name), *self.media(media))]  # fmt: skip

    def around(self, media: Segments, subtitle: str | None, question: Segments) -> Segments:
        """The user's turn of media, a subtitle and a question, which may hold media itself."""
        before, after = self.question.split("{}")
        words: Segments = []
        if subtitle or self.keep_subtitle:
            words = [self.subtitle.replace("{}", subtitle or "")]
        return joined([*media, *words, before, *question, after])


def joined(segments: Sequence[str | Media]) -> Segments:
    """The same content with neighbouring texts as one, and none of them empty."""
    found: Segments = []
    for segment in segments:
        if isinstance(segment, str) and found and isinstance(found[-1], str):
            found[-1] += segment
        elif segment != "":
            found.append(segment)
    return found


def check_source(where: str, source: str, licence: str) -> None:
    """ConfigError for a wording from elsewhere whose licence is not said."""
    if source and not licence:
        raise ConfigError(
            f"{where}.licence",
            f"none, for a wording from {source}",
            fix="say its licence; where none is stated, say so",
        )


def _fields(text: str) -> Iterator[str]:
    try:
        return iter([name for _, name, _, _ in Formatter().parse(text) if name is not None])
    except ValueError as error:
        raise ConfigError(
            "instruction",
            f"{text!r}: {error}",
            fix="close each {name}, and write a brace as {{ or }}",
        ) from error


def of_row(sample: Sample, name: str) -> str:
    """What a question says of its row: one of `OF_THE_ROW`. DataError where the row has none."""
    value: Any = sample.speaker if name == "speaker" else sample.labels.get(name)
    if value == []:
        return NOTHING_YET
    if not value:
        raise DataError(f"row {sample.id}", f"no {name}", expected="what the question names")
    return "\n".join(map(str, value)) if isinstance(value, list | tuple) else _text(value)


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return re.sub(r"\s+", " ", str(value)).strip()
