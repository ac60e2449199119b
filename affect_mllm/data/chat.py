"""How turns are framed: the LLM's own chat template, or markers in plain text; ids and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date as Day
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

from affect_mllm.data.rendered import IGNORED, Builder, Draft, Places, Rendered, plain_ids
from affect_mllm.data.skeleton import ChatTemplate
from affect_mllm.data.spelling import Spelling
from affect_mllm.data.template import Media, Segments, Turn, joined
from affect_mllm.log import LOGGER
from affect_mllm.types import ConfigError, DataError

__all__ = ["IGNORED", "Chat", "ChatFormat", "MarkedTurns", "Rendered"]


class Chat(Protocol):
    """What examples need of a chat format."""

    @property
    def tokenizer(self) -> Any:
        """The LLM's."""
        ...

    @property
    def end_id(self) -> int:
        """The one token that ends an answer.

        Training supervises it, generation stops at it, likelihoods count it, and an exported
        `generation_config` names it: whatever the LLM's folder says of `eos_token_id`.
        """
        ...

    def render(self, turns: Sequence[Turn], places: Places, /) -> Rendered:
        """A chat's ids; after a last turn of the user, up to where the answer starts."""
        ...

    def answer_ids(self, answer: str, /) -> list[int]:
        """Ids of an answer behind a prompt, up to and with `end_id`."""
        ...

    def answer_text(self, generated: str, /) -> str:
        """The answer in what was generated: without what ends it."""
        ...

    def settled(self, generated: str, /) -> str:
        """What of `answer_text` stays, whatever is generated next: for who reads along."""
        ...


@dataclass(frozen=True)
class ChatFormat:
    """The LLM's own chat template: its own ids, in which only it may write special tokens.

    Supervised are the assistant's texts, what its template writes between a prompt and them, and
    after each the token that ends its turn, which is the last of all. Contents are stripped at
    their ends, as some templates do it and others do not. `arguments` are the template's
    (`enable_thinking: false`). `date` is what it takes for today (`2026-01-31`); None: today, fixed
    now. A training run fixes it for all its checkpoints.
    """

    tokenizer: Any
    arguments: Mapping[str, Any] = field(default_factory=dict)
    date: str | None = None

    def __post_init__(self) -> None:
        template = self._template  # made now: a wrong one must not show at the first row
        if self.date is None and template.names_day:
            LOGGER.warning(
                "the chat template names the day: %s is written into prompts; data.chat.date fixes "
                "another one",
                template.day,
            )

    def render(self, turns: Sequence[Turn], places: Places, /) -> Rendered:
        """Ids, labels and spans; a medium takes what `places` says of its modality.

        Raises ConfigError for a template that does not keep every content once.
        """
        draft = self._draft(turns)
        built = Builder(self._filler, places, self.text_ids)
        media = iter(draft.media)
        ids, offsets = self._spelling.read(draft.text)
        found = [n for n, token in enumerate(ids) if token == self._spelling.medium_id]
        learnt = draft.learnt(offsets)
        for first, last in pairwise([-1, *found, len(ids)]):
            built.add(ids[first + 1 : last], learnt[first + 1 : last])
            if last < len(ids):
                built.medium(next(media))
        return built.done()

    def answer_ids(self, answer: str, /) -> list[int]:
        """Ids of the answer behind a prompt, up to and with the token that ends the turn."""
        asked = [Turn("user", ["?"])]
        whole = self.render([*asked, Turn("assistant", [answer])], {}).input_ids
        return whole[len(self.render(asked, {}).input_ids) :]

    def answer_text(self, generated: str, /) -> str:
        """What was generated, without what the template itself would have written before it."""
        opening = r"\s*".join(["", *map(re.escape, self._template.opening.split())])
        return re.sub(f"^{opening}", "", generated).strip()

    def settled(self, generated: str, /) -> str:
        """Nothing while it may still be what the template would have written."""
        opening, begun = ("".join(t.split()) for t in (self._template.opening, generated))
        return "" if opening.startswith(begun) else self.answer_text(generated)

    def text_ids(self, text: str) -> list[int]:
        """Ids of plain text: what looks like a special token in it stays text."""
        return plain_ids(self.tokenizer, text)

    @property
    def end_id(self) -> int:
        """The token that ends the assistant's turn in this template: see `Chat.end_id`."""
        return int(self.tokenizer.convert_tokens_to_ids(self._template.end))

    @property
    def _filler(self) -> int:
        return int(self.tokenizer.pad_token_id or self.tokenizer.eos_token_id or self.end_id)

    @cached_property
    def _template(self) -> ChatTemplate:
        try:
            day = Day.today() if self.date is None else Day.fromisoformat(self.date)
        except ValueError as error:
            raise ConfigError(
                "data.chat.date", repr(self.date), expected="a day such as 2026-01-31"
            ) from error
        return ChatTemplate(self.tokenizer, self.arguments, day)

    @cached_property
    def _spelling(self) -> Spelling:
        return Spelling(self.tokenizer)

    def _draft(self, turns: Sequence[Turn]) -> Draft:
        """The chat's text in the spelling of `_spelling`, up to the end of its last answer."""
        template, special = self._template, self._spelling.special
        *asked, answer = turns if turns[-1].role == "assistant" else (*turns, None)
        frames, order = template.skeleton(
            [turn.role for turn in asked], system=self._system(asked[0])
        )
        draft = Draft(self._spelling.medium)
        for number, frame in enumerate(frames):
            if number and asked[order[number - 1]].role == "assistant":
                before, end, after = frame.partition(template.end)
                draft.add(special(before + end) if end else "", learnt=True)
                frame = after if end else frame
            turn = asked[order[number]] if number < len(order) else None
            learnt = turn is not None and turn.role == "assistant"
            opening = template.opening if learnt and frame.endswith(template.opening) else ""
            draft.add(special(frame.removesuffix(opening)))
            draft.add(special(opening), learnt=True)
            draft.fill([] if turn is None else turn.content, learnt=learnt)
        if answer is not None:
            said = "".join(map(str, answer.content)).lstrip()
            words = template.opening.split()  # <think> </think>, which an answer may bring itself
            own = words and said.startswith(words[0]) and words[-1] in said
            draft.add("" if own else special(template.opening), learnt=True)
            draft.fill(answer.content, learnt=True)
            draft.add(special(template.closing), learnt=True)
        return draft

    def _system(self, first: Turn) -> str | None:
        """A system message that the template may read itself: one that spells no special token."""
        if first.role != "system":
            return None
        text = "".join(part for part in first.content if isinstance(part, str)).strip()
        media = any(isinstance(part, Media) for part in first.content)
        return None if media or "\x00" in text or self._spelling.holds_special(text) else text


@dataclass(frozen=True)
class MarkedTurns:
    """One question and one answer between markers of plain text, as Vicuna-like models have them.

    `[bos] USER question ASSISTANT answer END [eos]`; the defaults are AffectGPT's (`###Human: …
    ###Assistant: …###`, my_affectgpt/datasets/base_dataset.py of zeroQiaoba/AffectGPT@fffca79).
    Supervised are the answer, `end` and eos. There, training puts `bos` first and inference does
    not: `bos_in_prompts=false`. A marker inside a row's text is cut into single characters, so
    that it reads the same and is not the marker's id. Raises ConfigError for a tokenizer without
    eos or `bos`, for a system message and for several turns: the format has none.
    `user` and `assistant` are the markers before a question and before an answer.
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
        built = Builder(int(self.tokenizer.pad_token_id or self.end_id), places, self._ids)
        if self.bos is not None and (self.bos_in_prompts or len(turns) > 1):
            built.add([self._bos])
        content = _between_texts(turns[0].content)
        for number, part in enumerate(content):
            if isinstance(part, Media):
                built.medium(part.modality)
                continue
            before = self.user if number == 0 else ""
            after = self.assistant if number == len(content) - 1 else ""
            built.add(self._safe(part, before=before, after=after))
        if len(turns) > 1:
            answer = self.answer_ids("".join(str(part) for part in turns[1].content))
            built.add(answer, [True] * len(answer))
        return built.done()

    def answer_ids(self, answer: str, /) -> list[int]:
        """Ids of the answer, of `end` and of eos."""
        return [*self._safe(answer, after=self.end), self.end_id]

    def answer_text(self, generated: str, /) -> str:
        """What stands before the first `end`."""
        return generated.split(self.end)[0].strip()

    def settled(self, generated: str, /) -> str:
        """Without what may be the beginning of an `end`."""
        whole = self.answer_text(generated)
        begun = (self.end[:n] for n in range(len(self.end) - 1, 0, -1))
        half = next(filter(whole.endswith, begun), "")
        return whole if self.end in generated else whole.removesuffix(half).rstrip()

    @property
    def end_id(self) -> int:
        """The tokenizer's eos: see `Chat.end_id`."""
        if self.tokenizer.eos_token_id is None:
            raise ConfigError("tokenizer", "no eos token", expected="one, to end an answer")
        return int(self.tokenizer.eos_token_id)

    @property
    def _bos(self) -> int:
        found = self.tokenizer.convert_tokens_to_ids(self.bos)
        if found is None or found == self.tokenizer.unk_token_id:
            raise ConfigError(
                "data.chat.bos",
                f"{self.bos!r} is no token of this LLM",
                fix="give one of its own, or null",
            )
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


def _between_texts(content: Segments) -> Segments:
    """The same content, beginning and ending with a text, be it an empty one."""
    parts = joined(content)
    head: Segments = [] if parts and isinstance(parts[0], str) else [""]
    tail: Segments = [] if parts and isinstance(parts[-1], str) else [""]
    return [*head, *parts, *(tail if parts else [])]
