"""How turns are framed: the LLM's own chat template, or markers in plain text; ids and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from affect_mllm.data.template import Media, Segments, Turn, joined
from affect_mllm.types import ConfigError, DataError, Placeholder

IGNORED = -100
Places = Mapping[str, int | Placeholder]
Encode = Callable[[str], list[int]]


class Rendered(NamedTuple):
    """Ids and labels `[L]` of a chat, and its media spans (modality, start, length)."""

    input_ids: list[int]
    labels: list[int]
    spans: list[tuple[str, int, int]]


class Chat(Protocol):
    """What examples need of a chat format."""

    @property
    def tokenizer(self) -> Any:
        """The LLM's."""
        ...

    def render(self, turns: Sequence[Turn], places: Places, /) -> Rendered:
        """A chat's ids; after a last turn of the user, up to where the answer starts."""
        ...

    def answer_ids(self, answer: str, /) -> list[int]:
        """Ids of an answer and of what ends it."""
        ...

    def answer_text(self, generated: str, /) -> str:
        """The answer in what was generated: without what ends it."""
        ...


@dataclass(frozen=True)
class ChatFormat:
    """The LLM's own chat template, split so that only its own parts may become special tokens.

    Supervised are the assistant's texts, and after each the token that ends its turn. Contents
    are stripped at their ends, as some templates do it and others do not.
    """

    tokenizer: Any
    _frames: dict[tuple[str, ...], list[list[int]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def render(self, turns: Sequence[Turn], places: Places, /) -> Rendered:
        """Ids, labels and spans; a medium takes what `places` says of its modality.

        Raises ConfigError for a template that does not keep the contents once and in order.
        """
        asked = turns[:-1] if turns[-1].role == "assistant" else turns
        frames = self._frame(tuple(turn.role for turn in asked))
        built = _Builder(self._filler, places)
        for number, turn in enumerate(asked):
            frame, after = frames[number], number and asked[number - 1].role == "assistant"
            built.add(frame, supervised=1 if after else 0)
            built.fill(_stripped(turn.content), self.text_ids, learnt=turn.role == "assistant")
        built.add(frames[-1])
        if asked is not turns:
            built.fill(_stripped(turns[-1].content), self.text_ids, learnt=True)
            built.add([self.end_id], supervised=1)
        return Rendered(built.ids, built.labels, built.spans)

    def answer_ids(self, answer: str, /) -> list[int]:
        """Ids of the answer and of the token that ends a turn."""
        return [*self.text_ids(answer.strip()), self.end_id]

    def answer_text(self, generated: str, /) -> str:
        """What was generated: special tokens are not part of the text."""
        return generated.strip()

    def text_ids(self, text: str) -> list[int]:
        """Ids of plain text: what looks like a special token in it stays text."""
        return plain_ids(self.tokenizer, text)

    @cached_property
    def end_id(self) -> int:
        """The token that ends the assistant's turn in this template."""
        slot = _slot(0)
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": slot}]
        return self._special(self._render(turns, generate=False).split(slot)[-1])[0]

    @property
    def _filler(self) -> int:
        return int(self.tokenizer.pad_token_id or self.tokenizer.eos_token_id)

    def _frame(self, roles: tuple[str, ...]) -> list[list[int]]:
        """The template's own ids before, between and after the contents of these turns."""
        if roles not in self._frames:
            turns = [{"role": role, "content": _slot(i)} for i, role in enumerate(roles)]
            rest, parts = self._render(turns, generate=True), []
            for number in range(len(roles)):
                part, *others = rest.split(_slot(number))
                if len(others) != 1:
                    raise ConfigError(
                        "tokenizer",
                        f"its chat template does not keep the texts of {', '.join(roles)} once "
                        "and in order",
                        fix="choose another data.chat format, or leave prompt.system empty",
                    )
                parts.append(self._special(part))
                rest = others[0]
            self._frames[roles] = [*parts, self._special(rest)]
        return self._frames[roles]

    def _render(self, turns: list[dict[str, str]], *, generate: bool) -> str:
        if self.tokenizer.chat_template is None:
            raise ConfigError("tokenizer", "no chat template", fix="use an instruction-tuned LLM")
        from jinja2 import TemplateError

        try:
            return self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=generate
            )
        except TemplateError as error:  # some refuse a system message, or two turns of one side
            raise ConfigError("tokenizer", f"its chat template refuses: {error}") from error

    def _special(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids


@dataclass(frozen=True)
class MarkedTurns:
    """One question and one answer between markers of plain text, as Vicuna-like models have them.

    `[bos] USER question ASSISTANT answer END [eos]`; the defaults are AffectGPT's (`###Human: …
    ###Assistant: …###`, my_affectgpt/datasets/base_dataset.py of zeroQiaoba/AffectGPT@fffca79).
    Supervised are the answer, `end` and eos. There, training puts `bos` first and inference does
    not: `bos_in_prompts=false`. A marker inside a row's text is cut into single characters, so
    that it reads the same and is not the marker's id. Raises ConfigError for a tokenizer without
    eos or `bos`, for a system message and for several turns: the format has none.
    """

    tokenizer: Any
    user: str = "###Human: "
    assistant: str = " ###Assistant: "
    end: str = "###"
    bos: str | None = None
    bos_in_prompts: bool = True

    def render(self, turns: Sequence[Turn], places: Places, /) -> Rendered:
        """Ids, labels and spans, as `ChatFormat.render`."""
        roles = [turn.role for turn in turns]
        if roles not in (["user"], ["user", "assistant"]):
            raise ConfigError(
                "data.chat",
                f"turns of {', '.join(roles)}",
                expected="one question and one answer, the only form of this format",
                fix="set data.prompt.system='' and leave conversations out of the mixture",
            )
        built = _Builder(int(self.tokenizer.pad_token_id or self._eos), places)
        if self.bos is not None and (self.bos_in_prompts or len(turns) > 1):
            built.add([self._bos])
        content = _between_texts(turns[0].content)
        for number, part in enumerate(content):
            if isinstance(part, Media):
                built.fill([part], self._ids, learnt=False)
                continue
            before = self.user if number == 0 else ""
            after = self.assistant if number == len(content) - 1 else ""
            built.add(self._safe(part, before=before, after=after))
        if len(turns) > 1:
            answer = self.answer_ids("".join(str(part) for part in turns[1].content))
            built.add(answer, supervised=len(answer))
        return Rendered(built.ids, built.labels, built.spans)

    def answer_ids(self, answer: str, /) -> list[int]:
        """Ids of the answer, of `end` and of eos."""
        return [*self._safe(answer, after=self.end), self._eos]

    def answer_text(self, generated: str, /) -> str:
        """What stands before the first `end`."""
        return generated.split(self.end)[0].strip()

    @property
    def _eos(self) -> int:
        if self.tokenizer.eos_token_id is None:
            raise ConfigError("tokenizer", "no eos token", expected="one, to end an answer")
        return int(self.tokenizer.eos_token_id)

    @property
    def _bos(self) -> int:
        found = self.tokenizer.convert_tokens_to_ids(self.bos)
        if found is None or found == self.tokenizer.unk_token_id:
            raise ConfigError("data.chat.bos", f"{self.bos!r} is no token of this LLM")
        return int(found)

    def _ids(self, text: str) -> list[int]:
        return plain_ids(self.tokenizer, text)

    def _safe(self, text: str, *, before: str = "", after: str = "") -> list[int]:
        """Ids of a row's text between markers; the text itself never holds the end marker's id."""
        first, *rest = text.split(self.end)
        if not rest and not text.endswith(self.end[0]):
            return self._ids(before + text + after)
        single = [token for letter in self.end for token in self._ids(letter)]
        if rest and single == self._ids(self.end):
            raise DataError("text", f"{text!r} holds {self.end!r}", expected="no marker in a row")
        ids = self._ids(before + first)
        for part in rest:
            ids += [*single, *self._ids(part)]
        return ids + self._ids(after)


class _Builder:
    """Ids, labels and spans that grow from left to right."""

    def __init__(self, filler: int, places: Places) -> None:
        self.ids: list[int] = []
        self.labels: list[int] = []
        self.spans: list[tuple[str, int, int]] = []
        self._filler, self._places = filler, places

    def add(self, ids: Sequence[int], *, supervised: int = 0) -> None:
        """Append ids, of which the first `supervised` are learnt."""
        self.ids += ids
        self.labels += [*ids[:supervised], *[IGNORED] * len(ids[supervised:])]

    def fill(self, content: Segments, encode: Encode, *, learnt: bool) -> None:
        """Append texts and media."""
        for part in content:
            if isinstance(part, Media):
                place = self._places[part.modality]
                place = Placeholder(place) if isinstance(place, int) else place
                self._medium(part.modality, place, encode)
            else:
                ids = encode(part)
                self.add(ids, supervised=len(ids) if learnt else 0)

    def _medium(self, modality: str, place: Placeholder, encode: Encode) -> None:
        self.add([*(encode(place.words) if place.words else []), *place.before])
        self.spans.append((modality, len(self.ids), place.length))
        self.add([self._filler if place.filler is None else place.filler] * place.length)
        self.add(place.after)
        for part in place.then:
            self._medium(modality, part, encode)


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """Ids of plain text: what looks like a special token in it stays text."""
    return tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
    ).input_ids


def _slot(number: int) -> str:
    return f"\x00{number}\x00"


def _between_texts(content: Segments) -> Segments:
    """The same content, beginning and ending with a text, be it an empty one."""
    parts = joined(content)
    head: Segments = [] if parts and isinstance(parts[0], str) else [""]
    tail: Segments = [] if parts and isinstance(parts[-1], str) else [""]
    return [*head, *parts, *(tail if parts else [])]


def _stripped(content: Segments) -> Segments:
    parts = joined(content)
    if parts and isinstance(parts[0], str):
        parts[0] = parts[0].lstrip()
    if parts and isinstance(parts[-1], str):
        parts[-1] = parts[-1].rstrip()
    return joined(parts)
