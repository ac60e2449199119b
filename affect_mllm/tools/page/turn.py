"""One question about one clip: what a checkpoint says of what it may use, as it comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from affect_mllm.eval.generate.views import ALL
from affect_mllm.types import AffectError, ConfigError

if TYPE_CHECKING:
    from affect_mllm.tools.page.looked import Looked
    from affect_mllm.tools.pipeline import Pipeline
    from affect_mllm.tools.seen import Seen


@dataclass(frozen=True)
class Asked:
    """What is asked: a question, the labels to compare, what is said, and what may be used."""

    question: str
    labels: tuple[str, ...] = ()
    words: str | None = None
    kinds: frozenset[str] = frozenset(ALL)

    @property
    def whole(self) -> Asked:
        """The same of everything that there is."""
        return replace(self, kinds=frozenset(ALL))


@dataclass(frozen=True)
class Told:
    """What is known so far: the answer's text, then what it was made of and the labels' shares.

    `named` are the emotion words that the answer says, `before` the shares of the same question
    with all modalities. `problem` stands where labels cannot be compared.
    """

    answer: str = ""
    modalities: tuple[str, ...] = ()
    gate: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    before: Mapping[str, float] | None = None
    problem: str = ""
    is_finished: bool = False


def tell(model: Pipeline, looked: Looked, asked: Asked) -> Iterator[Told]:
    """What is known, again and again, until all is. ConfigError where nothing is left or asked."""
    if not asked.question.strip():
        raise ConfigError("question", "none", fix="write one, or choose one of the list")
    seen = looked.left(asked.kinds, asked.words)
    told = Told()
    yield told
    for told in _answered(model, seen, asked):
        yield told
    try:
        shares = compared(model, seen, asked)
    except AffectError as error:
        yield replace(told, problem=str(error), is_finished=True)
    else:
        yield replace(told, shares=shares, is_finished=True)


def compared(model: Pipeline, seen: Seen, asked: Asked) -> dict[str, float]:
    """The labels' shares of 1, by the checkpoint's own question about labels if it has one."""
    question = None if model.closed() else asked.question
    return model.compared([seen], asked.labels, question=question)[0] if asked.labels else {}


def emotions_in(answer: str) -> tuple[str, ...]:
    """The emotion words that an answer comes to, read as an evaluation reads open vocabulary."""
    from affect_mllm.eval.read.base import Space
    from affect_mllm.eval.read.policies import extract

    found = extract(answer, Space(), "label_list_v3").value
    return found if isinstance(found, tuple) else ()


def _answered(model: Pipeline, seen: Seen, asked: Asked) -> Iterator[Told]:
    from affect_mllm.tools.pipeline import LONGEST

    lengths = dict(model.usual().values())
    most = lengths.get(asked.question, LONGEST)
    text = ""
    with closing(model.streamed(seen, asked.question, max_new_tokens=most)) as pieces:
        for piece in pieces:
            text += piece
            yield Told(text)
        answer = pieces.answer
    yield Told(answer.text, answer.modalities, answer.gate, emotions_in(answer.text))
