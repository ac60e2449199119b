"""What a chat template writes around the contents of turns, its arguments and its day fixed."""

from __future__ import annotations

import inspect
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import cached_property
from typing import Any, NamedTuple

from affect_mllm.types import ConfigError

# transformers hands data to templates, no functions: this one takes the place of its own.
_OF_A_DAY = (
    "{% macro strftime_now(form) %}{% set written = namespace(text=form) %}"
    "{% for name, value in parts_of_the_day %}"
    "{% set written.text = written.text.replace(name, value) %}{% endfor %}"
    "{{ written.text }}{% endmacro %}\n"
)
_SLOT = re.compile("\x00(\\d+)\x00")
_KEPT = 1000  # skeletons in memory at once; only system messages of rows make more than a few


class Skeleton(NamedTuple):
    """`frames` before, between and after contents; `order[i]` is whose stands behind `frames[i]`.

    Some templates move a system message behind later turns.
    """

    frames: tuple[str, ...]
    order: tuple[int, ...]


@dataclass(frozen=True)
class ChatTemplate:
    """A tokenizer's chat template. Templates that ask for the time get midnight of `day`.

    Raises ConfigError for a tokenizer without a template, for arguments that it does not read, and
    for a template that ends an answer with no token of its own.
    """

    tokenizer: Any
    arguments: Mapping[str, Any]
    day: date
    _known: dict[Any, Skeleton] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.tokenizer.chat_template is None:
            raise ConfigError(
                "tokenizer",
                "no chat template",
                expected="one that says how turns are framed",
                fix="use an instruction-tuned LLM, or +chat@data.chat=affectgpt (with "
                "+prompt@data.prompt=affectgpt), whose turns need none",
            )
        taken = set(inspect.signature(self.tokenizer.apply_chat_template).parameters)
        for name in self.arguments:
            if name in taken or not re.search(rf"\b{re.escape(str(name))}\b", self._source):
                raise ConfigError(
                    f"data.chat.arguments.{name}",
                    "the LLM's chat template reads nothing of this name",
                    expected="a variable of the template, such as enable_thinking of Qwen3",
                )
        _ = self.end

    @property
    def names_day(self) -> bool:
        """Whether it may write the day into a prompt."""
        return "strftime_now" in self._source and "date_string" not in self.arguments

    def skeleton(self, roles: Sequence[str], *, system: str | None = None) -> Skeleton:
        """What stands around the contents of turns with these roles, up to where an answer starts.

        A space at its end is the answer's: most tokenizers make one token of it and a word.
        `system` is a first turn's content that the template itself reads (SmolLM3 looks for
        `/no_think` in it): part of a frame then. Raises ConfigError for a template that refuses
        these turns or does not keep each content once.
        """
        key = (tuple(roles), system)
        if key not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = self._made(roles, generate=True, system=system)
        return self._known[key]

    @cached_property
    def opening(self) -> str:
        """What the template writes before an answer and not at the end of a prompt.

        Such as Llama-2's space, or the empty thoughts of a Qwen3 that is allowed to think.
        """
        prompt, whole = self.skeleton(("user",)).frames[1], self._answered.frames[1]
        return whole.removeprefix(prompt) if whole.startswith(prompt) else ""

    @cached_property
    def closing(self) -> str:
        """What stands behind an answer, up to and with `end`."""
        before, end, _ = self._answered.frames[2].partition(self.end)
        return before + end

    @cached_property
    def end(self) -> str:
        """The token that ends an answer: the first of the tokenizer's own behind its text."""
        after = self._answered.frames[2]
        added = [token.content for token in self.tokenizer.added_tokens_decoder.values()]
        places = [(after.find(name), -len(name), name) for name in added if not name.isspace()]
        found = sorted(place for place in places if place[0] >= 0)
        if not found:
            raise ConfigError(
                "tokenizer",
                f"its chat template ends an answer with {after!r}",
                expected="a token of its own, such as <|im_end|>: else nothing ends an answer",
                fix="use another LLM, or +chat@data.chat=affectgpt (with "
                "+prompt@data.prompt=affectgpt), which ends answers itself",
            )
        return found[0][2]

    @cached_property
    def _answered(self) -> Skeleton:
        return self._made(("user", "assistant"), generate=False)

    def _made(self, roles: Sequence[str], *, generate: bool, system: str | None = None) -> Skeleton:
        turns = [{"role": role, "content": f"\x00{i}\x00"} for i, role in enumerate(roles)]
        text = self._render(turns, generate=generate)
        found = sorted(map(int, _SLOT.findall(text)))
        if system is not None:
            turns[0]["content"] = system
            text = self._render(turns, generate=generate)
        frames = _SLOT.split(text)
        order = tuple(map(int, frames[1::2]))
        kept = sorted(order) == found[system is not None :]
        if found != list(range(len(roles))) or not kept:
            raise ConfigError(
                "tokenizer",
                f"its chat template does not keep the texts of {', '.join(roles)} once each",
                fix="choose another data.chat format, or leave prompt.system empty",
            )
        if generate:
            frames[-1] = frames[-1].rstrip(" ")
        return Skeleton(tuple(frames[::2]), order)

    @property
    def _source(self) -> str:
        try:
            return self.tokenizer.get_chat_template()
        except ValueError as error:  # several templates, none of them the default
            raise ConfigError(
                "tokenizer",
                str(error),
                fix="put the template that is meant into `chat_template.jinja` beside its weights",
            ) from error

    def _render(self, turns: list[dict[str, str]], *, generate: bool) -> str:
        from jinja2 import TemplateError

        given = {**self.arguments}
        if "strftime_now" in self._source:
            given |= {"chat_template": _OF_A_DAY + self._source, "parts_of_the_day": self._parts}
        try:
            return self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=generate, **given
            )
        except (TemplateError, TypeError) as error:
            # Some refuse a system message, or two turns of one side.
            raise ConfigError(
                "tokenizer",
                f"its chat template refuses: {error}",
                fix="set data.prompt.system='', or let turns alternate: some templates need that",
            ) from error

    @cached_property
    def _parts(self) -> list[tuple[str, str]]:
        """What each of strftime's directives is at midnight of the day."""
        moment = datetime.combine(self.day, time())
        names = [f"%{dash}{letter}" for dash in ("-", "") for letter in string.ascii_letters]
        return [(name, moment.strftime(name)) for name in names]
