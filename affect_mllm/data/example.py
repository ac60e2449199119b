"""One example: token ids, labels, media arrays and the spans where their tokens go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from affect_mllm.data.chat import Chat
from affect_mllm.data.messages import media_of, turns_of, user_content
from affect_mllm.data.rendered import IGNORED, Places, Rendered
from affect_mllm.data.template import Conversation, Instruction, Prompt, Segments, Turn
from affect_mllm.types import (
    ConfigError,
    DataError,
    Drawn,
    Patches,
    Placeholder,
    Sample,
    Span,
    SpanRule,
    modality_of,
)

Item = np.ndarray | Patches


class Open(NamedTuple):
    """A prompt that the model itself is to answer: its place in the mixture, and what it asks."""

    place: int
    question: str


@dataclass(frozen=True)
class Example:
    """Ids `[L]`, labels `[L]` (−100 on the prompt), spans, and media arrays by modality.

    Of a row with clips they are by item: `image.2` is the second clip's, in spans, too. One that
    was planned has spans without arrays.
    `encoded`: the arrays are encoder states `[S, D]`, not encoder inputs. `truth`: the row's
    labels. `cut` says what was shortened to fit: `subtitle` or `turns`. `answers` are the lengths
    of several answers to one prompt, which stand one behind another at the end and do not see each
    other; `drawn` is known of those that the model itself gave. `open`: they are still to be given;
    `without` is then the same prompt without a sense (`data.senses`), by its name.
    """

    sample_id: str
    input_ids: list[int]
    labels: list[int]
    spans: tuple[Span, ...]
    media: dict[str, Item]
    encoded: bool
    truth: dict[str, Any] = field(default_factory=dict)
    cut: tuple[str, ...] = ()
    answers: tuple[int, ...] = ()
    drawn: Drawn | None = None
    open: Open | None = None
    without: Mapping[str, Example] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.input_ids)

    def answered(self, answers: Sequence[Sequence[int]], drawn: Drawn | None = None) -> Example:
        """This prompt with several answers behind it, each of them learnt; ids as they are."""
        ids = [token for answer in answers for token in answer]
        return replace(
            self,
            input_ids=[*self.input_ids, *ids],
            labels=[*self.labels, *ids],
            answers=tuple(len(answer) for answer in answers),
            drawn=drawn,
            open=None,
            without={},
        )


@runtime_checkable
class JoinsSound(Protocol):
    """A span rule of what is seen that has a place for it and its sound together."""

    def __call__(self, item: Any, /) -> Placeholder:
        """The place of an item that is not heard."""
        ...

    def joined(self, item: Any, sound: Any, /) -> Placeholder:
        """The place of both; parts of the sound have its modality."""
        ...


class TooLong(DataError):
    """An example that does not fit into `max_tokens` however its text is shortened."""


@dataclass(frozen=True)
class ExampleMaker:
    """Puts a row, what may be seen of it and a question together, the same way everywhere.

    What is longer than `max_tokens` is shortened: the subtitle from its end, and the newest
    exchanges of a conversation (what is left of it stays a conversation). A media span, an answer
    and a question are never cut; what then does not fit raises TooLong. In planning, a medium
    whose length depends on its size is taken for `assumed_tokens`.
    """

    chat: Chat
    prompt: Prompt
    span_lengths: Mapping[str, SpanRule]
    fused: bool
    max_tokens: int = 1024
    assumed_tokens: int = 256

    def make(
        self,
        sample: Sample,
        media: Mapping[str, Item | None],
        *,
        question: str | None,
        answer: str | Sequence[str] | None = None,
        subtitle: bool = True,
        encoded: bool = True,
    ) -> Example:
        """The example of a question about `media`; an item that is None is planned with.

        `question=None`: the row's own `messages`, whose media are those that they name. Without
        `answer` it is a prompt to generate from; several answers stand behind one prompt. Of a
        row's own messages, `answer` takes part beside the last.

        Raises DataError when nothing at all is left to look at, TooLong when it does not fit.
        """
        text = sample.subtitle if subtitle else None
        if sample.clips and question is not None:
            media = {n: media[n] for n in media_of(sample, list(media), question)}
        seen = media or text or (subtitle and _says_itself(sample, question or ""))
        if not seen and question is not None:
            raise DataError(
                f"row {sample.id}",
                "no picture, no sound and no text",
                expected="at least one modality",
            )
        names = self._names(media)
        places = self._places(names, media)
        names = [name for name in names if name in places]
        several = [] if answer is None or isinstance(answer, str) else list(answer)
        if question is None:
            turns = turns_of(sample, names, system=self.prompt.system)
            if isinstance(answer, str):
                several, turns = [_said(sample, turns[-1]), answer], turns[:-1]
            answers = [self.chat.answer_ids(each) for each in several]
            rendered, cut = self._converse(sample, turns, places, answers)
        else:

            def asked(said: str | None) -> list[Turn]:
                content = user_content(self.prompt, sample, names, said, question)
                answered = [Turn("assistant", [answer])] if isinstance(answer, str) else []
                return [*self._turns(content), *answered]

            answers = [self.chat.answer_ids(each) for each in several]
            rendered, cut = self._answer(sample, text, asked, places, answers)
        spans = tuple(Span(name, start, length) for name, start, length in rendered.spans)
        spoken = {span.modality for span in spans}
        example = Example(
            sample.id,
            rendered.input_ids,
            rendered.labels if not answers else [IGNORED] * len(rendered.labels),
            spans,
            {name: item for name, item in media.items() if item is not None and name in spoken},
            encoded,
            sample.labels,
            cut,
        )
        return example.answered(answers) if answers else example

    def prompt_hash(self, question: str) -> str:
        """Hash of everything that decides the prompt of `question` besides the row itself."""
        turns = self._turns(self.prompt.user((), None, question))
        # As it was before there were clips, where they are called as they always are.
        clips = [] if self.prompt.clip == Prompt.clip else [self.prompt.clip]
        decides = [
            self.chat.render(turns, {}).input_ids,
            self.prompt.order,
            sorted(self.prompt.lines.items()),
            self.prompt.subtitle,
            sorted(self.span_lengths.items()),
            self.max_tokens,
            *clips,
        ]
        text = json.dumps(decides, default=repr)  # of a rule
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _names(self, media: Mapping[str, Item | None]) -> list[str]:
        names = [*media, *(["multi"] if self.fused and media else [])]
        if unsaid := {modality_of(name) for name in names} - set(self.prompt.order):
            raise ConfigError(
                "data.prompt.order",
                f"no line for {', '.join(sorted(unsaid))}",
                expected="one for each modality of the model",
            )
        return names

    def _answer(
        self,
        sample: Sample,
        text: str | None,
        asked: Callable[[str | None], Sequence[Turn]],
        places: Places,
        answers: Sequence[Sequence[int]] = (),
    ) -> tuple[Rendered, tuple[str, ...]]:
        """One question, its subtitle `text` shortened until all fits; and what was cut."""
        most = self.max_tokens - max(map(len, answers), default=0)

        def rendered(subtitle: str | None) -> Rendered:
            return self.chat.render(asked(subtitle), places)

        whole = rendered(text)
        if len(whole.input_ids) <= most:
            return whole, ()
        shortest = rendered(None)
        if len(shortest.input_ids) > most:
            raise self._too_long(sample, shortest, answers)
        low, high = 0, len(text or "")  # a beginning of `low` characters fits, of `high` does not
        while high - low > 1:
            middle = (low + high) // 2
            if len(rendered(_beginning(text, middle)).input_ids) <= most:
                low = middle
            else:
                high = middle
        return rendered(_beginning(text, low)), ("subtitle",)

    def _converse(
        self,
        sample: Sample,
        turns: Sequence[Turn],
        places: Places,
        answers: Sequence[Sequence[int]] = (),
    ) -> tuple[Rendered, tuple[str, ...]]:
        """The row's own turns, without the newest exchanges where they do not fit.

        None is left out of a question that has several answers.
        """
        most = self.max_tokens - max(map(len, answers), default=0)
        whole = rendered = self.chat.render(turns, places)
        exchanges = sum(turn.role == "assistant" for turn in turns)
        while len(rendered.input_ids) > most and exchanges > 1 and not answers:
            exchanges -= 1
            shorter = turns[: len(turns) - 2]
            if _media_of(shorter) != _media_of(turns):
                break  # the media are in the part that would go
            turns = shorter
            rendered = self.chat.render(turns, places)
        if len(rendered.input_ids) > most:
            raise self._too_long(sample, rendered, answers)
        return rendered, (() if rendered is whole else ("turns",))

    def _turns(self, content: Segments) -> list[Turn]:
        system = [Turn("system", [self.prompt.system])] if self.prompt.system else []
        return [*system, Turn("user", content)]

    def _too_long(
        self, sample: Sample, rendered: Rendered, answers: Sequence[Sequence[int]]
    ) -> TooLong:
        tokens = len(rendered.input_ids) + max(map(len, answers), default=0)
        return TooLong(
            f"row {sample.id}",
            f"{tokens} tokens without what may be cut",
            expected=f"at most {self.max_tokens}",
            fix="raise data.max_tokens",
        )

    def _places(self, names: Sequence[str], media: Mapping[str, Item | None]) -> Places:
        """By item; a sound that stands among what is seen of its clip has no place of its own."""
        places: dict[str, int | Placeholder] = {}
        joined: set[str] = set()
        for name in names:
            rule, item = self.span_lengths[modality_of(name)], media.get(name)
            if isinstance(rule, int):
                places[name] = rule
                continue
            sound = "audio" + name[len(modality_of(name)) :]
            if isinstance(rule, JoinsSound) and sound in names and sound not in joined:
                joined.add(sound)
                heard = media.get(sound)
                if item is None or heard is None:
                    place = Placeholder(self.assumed_tokens)
                    places[name] = place._replace(then=(place._replace(modality="audio"),))
                else:
                    places[name] = rule.joined(item, heard)
            else:
                places[name] = self.assumed_tokens if item is None else rule(item)
        return {name: place for name, place in places.items() if name not in joined}


def visible(
    available: Sequence[str],
    instruction: Instruction | Conversation,
    dropout: float,
    rng: np.random.Generator,
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


def _says_itself(sample: Sample, question: str) -> bool:
    """Whether a row of words alone is asked its own question: else nothing of it is shown."""
    asked = [turn["content"] for turn in sample.messages if turn["role"] == "user"]
    return sample.is_words and any(text in question for text in asked)


def _beginning(text: str | None, characters: int) -> str:
    """The first characters of a text, back to the end of a whole word where there is one."""
    whole = text or ""
    kept = whole[:characters]
    if characters < len(whole) and not whole[characters].isspace() and " " in kept.strip():
        kept = kept[: kept.rindex(" ")]
    return kept.rstrip()


def _media_of(turns: Sequence[Turn]) -> list[object]:
    return [part for turn in turns for part in turn.content if not isinstance(part, str)]


def _said(sample: Sample, turn: Turn) -> str:
    """The text of an answer. Raises DataError where a medium stands in it."""
    if _media_of([turn]):
        raise DataError(
            f"row {sample.id}",
            "a medium in its last answer, which stands beside another",
            expected="words alone",
        )
    return "".join(map(str, turn.content))
