"""A policy that looks and listens: what it says of a sense has to depend on that sense."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from pydantic import PositiveFloat
from torch import nn

from affect_mllm.data.senses import Sense, sense_of
from affect_mllm.models.hidden import Hidden
from affect_mllm.models.indices import on_device
from affect_mllm.train.loss.answers import Answers, check_branches, scored
from affect_mllm.train.loss.objective import Loss
from affect_mllm.train.loss.policy import divergence
from affect_mllm.types import Batch, ConfigError


class Perception(Loss):
    """−KL(policy ‖ policy without a sense) at the tokens that speak of that sense.

    After OPPO (arXiv 2606.25325) and PAPO (2507.06448). The policy without it is given the same
    answers behind the same prompt, `sense` hidden as evaluation's subsets hide it; it has no
    gradient. Value and gradient of the divergence are `policy.divergence`'s. Of a token no more
    than `most` nats count: where there are more, nothing is gained, or any text that only sight
    makes likely would do. Divided by the step's tokens that speak of the sense
    (`data.senses.clauses`); all others, and those of rows without it, have exactly zero.
    """

    drawn = True
    notes = ("divergence", "speaking")

    def __init__(self, *, sense: Sense, most: PositiveFloat = 1.0, weight: float = 0.01) -> None:
        super().__init__(weight=weight)
        self.sense: Sense = sense
        self.hides, self.most = sense, most

    def check(self, model: Any) -> None:
        """ConfigError for a model without that sense or one that cannot read several answers."""
        check_branches(model)
        if self.sense not in {sense_of(name) for name in model.modalities}:
            raise ConfigError(
                "losses",
                f"Perception with sense={self.sense}, of a model that has {list(model.modalities)}",
                expected="a sense that the model has",
                fix="name another sense, or give the model an encoder of this one",
            )

    def count(self, batch: Batch) -> int:
        """Tokens of drawn answers that speak of the sense."""
        blind = (drawn.without.get(self.sense) for drawn in filter(None, batch.drawn))
        return sum(sum(map(sum, each.speaking)) for each in blind if each is not None)

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum over these tokens."""
        found = scored(model, batch, hidden)
        spoken = spoken_tokens(batch, found.answers, self.sense)
        at = on_device(spoken.places, found.logps.device)
        each = divergence(found.logps[at], spoken.blind.to(found.logps))
        self.note(hidden, len(at), divergence=each.sum())
        self.note(hidden, spoken.drawn, speaking=torch.tensor(len(at), device=at.device))
        return 0 * found.logps.sum() - each.clamp_max(self.most).sum()


class SpokenTokens(NamedTuple):
    """The tokens `[M]` that speak of a sense: `places` among all of the batch's answers, and log p
    of each without it. `drawn` counts all tokens of drawn answers.
    """

    places: torch.Tensor
    blind: torch.Tensor
    drawn: int


def spoken_tokens(batch: Batch, answers: Answers, sense: Sense) -> SpokenTokens:
    """Those of a batch's drawn answers, on the host; matched by example and answer number."""
    places, blind, start, total = [], [], 0, 0
    for i, k, length in zip(answers.examples, answers.numbers, answers.lengths, strict=True):
        drawn = batch.drawn[i]
        if drawn is not None:
            total += length
            without = drawn.without.get(sense)
            if without is not None:
                said = [n for n, speaks in enumerate(without.speaking[k]) if speaks]
                places += [start + n for n in said]
                blind += [without.logps[k][n] for n in said]
        start += length
    return SpokenTokens(
        torch.tensor(places, dtype=torch.long), torch.tensor(blind, dtype=torch.float64), total
    )
