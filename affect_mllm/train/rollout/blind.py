"""The answers that were drawn, read again without one of the senses."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch

from affect_mllm.data.example import Example
from affect_mllm.data.senses import SENSES, Sense, clauses
from affect_mllm.models.sample import Answer
from affect_mllm.train.loss.answers import scored
from affect_mllm.types import Batch, Blind, Drawn

Groups = Sequence[Sequence[Answer]]
Collated = Callable[[Sequence[Example]], Batch]
HALF = "\ufffd"  # what a tokenizer writes for a part of a character


def blind(
    model: Any,
    asked: Sequence[Example],
    answers: Groups,
    collated: Collated,
    *,
    tokenizer: Any,
    temperature: float,
) -> list[dict[str, Blind]]:
    """Of each prompt what its answers are without each sense that it was also made without.

    Under the weights that `model`, in eval mode, has now; without a gradient.
    """
    found: list[dict[str, Blind]] = [{} for _ in asked]
    for sense in SENSES:
        having = [i for i, example in enumerate(asked) if sense in example.without]
        if not having:
            continue
        own = [answers[i] for i in having]
        told = Drawn((), (), 0, temperature)
        made = [
            asked[i].without[sense].answered([each.ids for each in group], told)
            for i, group in zip(having, own, strict=True)
        ]
        for i, group, logps in zip(having, own, logps_of(model, collated(made)), strict=True):
            said = (speaking(tokenizer, each.ids, sense) for each in group)
            found[i][sense] = Blind(logps, tuple(said))
    return found


@torch.no_grad()
def logps_of(model: Any, batch: Batch) -> list[tuple[tuple[float, ...], ...]]:
    """log p of the tokens of each example's answers, in the order of examples and answers.

    However they are packed: `Answers` says whose a token is.
    """
    found = model(batch.to(model.llm.device), scored)
    answers, every = found.answers, found.logps.tolist()
    ends = pairwise(accumulate(answers.lengths, initial=0))
    owners = zip(answers.examples, answers.numbers, strict=True)
    own = {owner: tuple(every[a:b]) for owner, (a, b) in zip(owners, ends, strict=True)}
    each: list[list[tuple[float, ...]]] = [[] for _ in batch.sample_ids]
    for i, number in sorted(own):
        each[i].append(own[i, number])
    return [tuple(rows) for rows in each]


def speaking(tokenizer: Any, ids: Sequence[int], sense: Sense) -> tuple[bool, ...]:
    """Which tokens of an answer stand, wholly or in part, in a clause that speaks of a sense."""

    def text(count: int) -> str:
        return tokenizer.decode(
            ids[:count], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def length(count: int) -> int:
        return len(text(count).rstrip(HALF))

    counts, inside = range(len(ids) + 1), [False] * len(ids)
    for start, end in clauses(text(len(ids)), sense):
        first = bisect_left(counts, start, key=length)
        first -= length(first) > start  # a token that began before
        for place in range(first, min(bisect_left(counts, end, key=length), len(ids))):
            inside[place] = True
    return tuple(inside)
