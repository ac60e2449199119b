"""Prompts to examples with answers: drawn by the model as it is now, and rewarded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, NamedTuple

import torch

from affect_mllm.data.chat import Chat
from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.data.loader import StepBatch
from affect_mllm.models.sample import Answer, draw, key_of
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.loss.policy import advantages, is_dead
from affect_mllm.train.rollout.blind import blind
from affect_mllm.train.rollout.kept import KeptRollouts
from affect_mllm.train.rollout.reward import Answered, constants
from affect_mllm.train.rollout.settings import Rollout
from affect_mllm.types import Blind, Drawn, Sample

Row = dict[str, Any]


class Draws(NamedTuple):
    """A prompt and its answers; `without` is `Drawn.without`."""

    example: Example
    answers: list[Answer]
    without: dict[str, Blind]


class Group(NamedTuple):
    """The answers to one prompt, as text too, and what each was worth.

    `rewards[name][k]` is one reward of answer `k`, `totals[k]` their weighted sum; None where any
    of them could not be given. `without` is `Drawn.without`.
    """

    example: Example
    answers: list[Answer]
    without: dict[str, Blind]
    answered: list[Answered]
    rewards: dict[str, list[float | None]]
    totals: list[float | None]


class Rollouts:
    """Answers the prompts of this rank's share of each step. Nothing in here is collective but that
    split weights are gathered at its beginning, and one exchange of numbers at its end, so that
    ranks may take as long as their answers do.

    Answers are in `kept`'s file. `told` decides, with a prompt's place and an answer's number,
    what is drawn: the seed and the stage. The first step's row has the `constants`, too.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Rollout,
        chat: Chat,
        *,
        row_tokens: int,
        told: Sequence[object],
        kept: KeptRollouts,
        constants: Mapping[str, float] | None = None,
    ) -> None:
        self.engine, self.settings, self.chat = engine, settings, chat
        self.row_tokens, self.told, self.kept = row_tokens, tuple(told), kept
        self.constants = dict(constants or {})

    @classmethod
    def made(
        cls,
        engine: Engine,
        settings: Rollout | None,
        chat: Chat,
        *,
        row_tokens: int,
        told: Sequence[object],
        folder: Path,
        first_step: int,
        rows: Sequence[Sample],
    ) -> Rollouts | None:
        """Those of a stage that asks about these `rows`, with a file in its folder; None where none
        is drawn.
        """
        if settings is None:
            return None
        path = folder / f"rollouts-{engine.rank}.jsonl"
        kept = KeptRollouts(path, first_step=first_step)
        fresh = engine.is_main and first_step == 0
        known = constants(settings.rewards, rows) if fresh else {}
        return cls(
            engine, settings, chat, row_tokens=row_tokens, told=told, kept=kept, constants=known
        )

    def of(self, step: int, batch: StepBatch) -> tuple[StepBatch, Row]:
        """The step's batch with answers in it, and what the log says about them."""
        began = time.perf_counter()
        asked = [each for micro in batch.prompts for each in micro if each.open is not None]
        groups = {id(g.example): g for g in self._groups(asked)}
        micro = tuple(
            self._collated([_answered(each, groups, self.settings) for each in examples])
            for examples in batch.prompts
        )
        self.kept.add(step, [_told(group) for group in groups.values()])
        tokens = sum(int((each.labels != -100).sum()) for each in micro)
        spent = time.perf_counter() - began
        row = self._numbers([*groups.values()], spent) | (self.constants if step == 1 else {})
        return replace(batch, micro_batches=micro, supervised_tokens=tokens, prompts=()), row

    def _groups(self, asked: Sequence[Example]) -> Iterator[Group]:
        """Drawn with weights that are gathered once, however many prompts each rank has."""
        each, engine = max(1, self.settings.at_once // self.settings.answers), self.engine
        training = engine.module.training
        with engine.whole() as model, _precision(engine):
            model.eval()
            drawn = [
                self._drawn(model, asked[first : first + each])
                for first in range(0, len(asked), each)
            ]
            model.train(training)
        for part in drawn:
            yield from self._rewarded(part)

    def _drawn(self, model: Any, asked: Sequence[Example]) -> list[Draws]:
        """Of each prompt its answers, and what they are without a sense."""
        settings = self.settings
        keys = [
            [key_of(*self.told, each.open.place, n) for n in range(settings.answers)]
            for each in asked
            if each.open is not None
        ]
        pad_id = self.chat.tokenizer.pad_token_id or 0
        drawn = draw(
            model,
            collate(asked, pad_id=pad_id).to(self.engine.device),
            keys,
            max_new_tokens=settings.max_new_tokens,
            end_id=self.chat.end_id,
            temperature=settings.temperature,
        )
        blinded = blind(
            model,
            asked,
            drawn,
            self._collated,
            tokenizer=self.chat.tokenizer,
            temperature=settings.temperature,
        )
        return [Draws(*each) for each in zip(asked, drawn, blinded, strict=True)]

    def _rewarded(self, drawn: Sequence[Draws]) -> Iterator[Group]:
        """All at a time, since rewards may be asked of others."""
        settings = self.settings
        read = [[self._read(each.example, a) for a in each.answers] for each in drawn]
        flat = [each for own in read for each in own]
        found = {name: reward(flat) for name, reward in settings.rewards.items()}
        for place, each in enumerate(drawn):
            own = slice(place * settings.answers, (place + 1) * settings.answers)
            rewards = {name: values[own] for name, values in found.items()}
            yield Group(*each, read[place], rewards, self._totals(rewards))

    def _totals(self, rewards: dict[str, list[float | None]]) -> list[float | None]:
        weights = {name: each.weight for name, each in self.settings.rewards.items()}
        totals = []
        for values in zip(*rewards.values(), strict=True):
            known = [v for v in values if v is not None]
            parts = zip(known, weights.values(), strict=False)
            totals.append(sum(v * w for v, w in parts) if len(known) == len(values) else None)
        return totals

    def _read(self, example: Example, answer: Answer) -> Answered:
        """As evaluation reads what a model wrote."""
        assert example.open is not None
        ids = answer.ids[:-1] if answer.ended else answer.ids
        text = self.chat.tokenizer.decode(ids, skip_special_tokens=True).strip()
        return Answered(
            example.sample_id,
            example.open.question,
            self.chat.answer_text(text),
            answer.ended,
            len(answer.ids),
            example.truth,
        )

    def _collated(self, examples: Sequence[Example]) -> Any:
        pad_id = self.chat.tokenizer.pad_token_id or 0
        return collate(examples, pad_id=pad_id, row_tokens=self.row_tokens)

    def _numbers(self, groups: Sequence[Group], spent: float) -> Row:
        """Of all ranks: means over answers or groups, told as sums and counts."""
        names = [*self.settings.rewards]
        sums = _sums(groups, names)
        for name, reward in self.settings.rewards.items():
            seen = [reward.seen(each) for group in groups for each in group.answered]
            blank = reward.seen(Answered("", "", "", False, 0, {}))
            for key in blank:
                values = [each[key] for each in seen]
                sums[f"{name}/{key}"] = (sum(values), len(values))
        told = [number for pair in sums.values() for number in pair]
        longest = max((len(a.ids) for group in groups for a in group.answers), default=0)
        ranks = self.engine.told([spent, longest, *told])
        seconds = [rank[0] for rank in ranks]
        columns = [sum(column) for column in zip(*(rank[2:] for rank in ranks), strict=True)]
        pairs = zip(columns[::2], columns[1::2], strict=True)
        means = {n: t / c for n, (t, c) in zip(sums, pairs, strict=True) if c}
        return {
            **means,
            "longest": int(max(rank[1] for rank in ranks)),
            "rollout_seconds": max(seconds),
            "rollout_imbalance": max(seconds) / fmean(seconds) - 1,
        }


def _precision(engine: Engine) -> Any:
    """What the training's forward pass computes in: what is drawn from is what is scored."""
    kind = engine.device.type
    return torch.autocast(kind, engine.dtype or torch.bfloat16, enabled=engine.dtype is not None)


def _answered(example: Example, groups: dict[int, Group], settings: Rollout) -> Example:
    group = groups.get(id(example))
    if group is None:
        return example
    drawn = Drawn(
        tuple(group.totals),
        tuple(each.logps for each in group.answers),
        settings.max_new_tokens,
        settings.temperature,
        group.without,
    )
    return example.answered([each.ids for each in group.answers], drawn)


def _sums(groups: Sequence[Group], names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """By name a sum and the number of what was added up."""
    answers = [answer for group in groups for answer in group.answers]
    count = len(answers)
    found: dict[str, tuple[float, float]] = {
        "dead_groups": (sum(is_dead(group.totals) for group in groups), len(groups)),
        "distinct": (sum(len({a.ids for a in g.answers}) for g in groups), len(groups)),
        "tokens_an_answer": (sum(len(answer.ids) for answer in answers), count),
        "ended": (sum(answer.ended for answer in answers), count),
        "reward": _mean_of([total for group in groups for total in group.totals]),
        "reward_spread": _spread_of([group.totals for group in groups]),
        "unrewarded": (sum(t is None for group in groups for t in group.totals), count),
    }
    for name in names:
        own = [group.rewards[name] for group in groups]
        found[f"{name}"] = _mean_of([value for values in own for value in values])
        found[f"{name}_spread"] = _spread_of(own)
    return found


def _mean_of(values: Sequence[float | None]) -> tuple[float, float]:
    known = [value for value in values if value is not None]
    return sum(known), len(known)


def _spread_of(groups: Sequence[Sequence[float | None]]) -> tuple[float, float]:
    """Standard deviations within groups."""
    known = [[value for value in group if value is not None] for group in groups]
    deviations = [pstdev(values) for values in known if values]
    return sum(deviations), len(deviations)


def _told(group: Group) -> Row:
    """A group's row of the file."""
    ahead = advantages(group.totals)
    return {
        "id": group.example.sample_id,
        "question": group.answered[0].question,
        "answers": [
            {
                "text": answered.text,
                "ended": answered.ended,
                "tokens": answered.tokens,
                "rewards": {name: values[k] for name, values in group.rewards.items()},
                "reward": group.totals[k],
                "advantage": ahead[k],
            }
            for k, answered in enumerate(group.answered)
        ],
    }
