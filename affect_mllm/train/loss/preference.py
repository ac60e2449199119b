"""Losses on pairs: the first answer of an example is preferred to its second."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import nn
from torch.nn.functional import logsigmoid

from affect_mllm.models.hidden import Hidden
from affect_mllm.models.indices import on_device
from affect_mllm.train.loss.answers import Answers, check_branches, scored
from affect_mllm.train.loss.objective import Loss
from affect_mllm.types import Batch, ConfigError, DataError

Kind = Literal["sigmoid", "hinge", "ipo", "robust", "sigmoid_norm"]
NOTES = ("accuracy", "margin", "longer", "logp_chosen", "logp_rejected")


class Pairs(NamedTuple):
    """Of each pair `[P]`: log p of the preferred and of the other answer, and their lengths."""

    chosen: torch.Tensor
    rejected: torch.Tensor
    chosen_tokens: torch.Tensor
    rejected_tokens: torch.Tensor

    @property
    def means(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Log p a token."""
        return self.chosen / self.chosen_tokens, self.rejected / self.rejected_tokens


class PairLoss(Loss):
    """A sum over pairs of answers, and what the log says of them.

    `accuracy` is the share of pairs whose preferred answer the model puts first, `margin` by how
    much, `longer` the share in which the preferred answer has more tokens (equal: a half): what is
    reached by looking at lengths alone. `logp_chosen` and `logp_rejected` may both fall.
    """

    notes = NOTES

    def check(self, model: Any) -> None:
        """ConfigError for an LLM that cannot read several answers behind one prompt."""
        check_branches(model)

    def count(self, batch: Batch) -> int:
        """Pairs. Raises DataError for an example with other than two answers."""
        return len(_pairs(batch, Answers.of(batch)))

    def _of(self, batch: Batch, answers: Answers, sums: torch.Tensor) -> Pairs:
        first = _pairs(batch, answers)
        lengths = answers.each(answers.lengths, sums)
        at = on_device(first, sums.device, torch.long)
        return Pairs(sums[at], sums[at + 1], lengths[at], lengths[at + 1])

    def _tell(self, hidden: Hidden, pairs: Pairs, margins: torch.Tensor) -> None:
        ahead = (margins > 0).float() + 0.5 * (margins == 0)
        more, less = pairs.chosen_tokens, pairs.rejected_tokens
        self.note(
            hidden,
            len(margins),
            accuracy=ahead.sum(),
            margin=margins.sum(),
            longer=((more > less).float() + 0.5 * (more == less)).sum(),
            logp_chosen=pairs.chosen.sum(),
            logp_rejected=pairs.rejected.sum(),
        )


class LikelihoodLoss(PairLoss):
    """One that compares how likely the answers of a pair are."""

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum over pairs."""
        found = scored(model, batch, hidden)
        sums = found.answers.sums(found.logps)
        pairs = self._of(batch, found.answers, sums)
        then = None
        if self.reference:
            if batch.reference is None and len(sums):
                raise ConfigError("losses", "no reference", fix="train by `affect-mllm train`")
            before = torch.zeros_like(found.logps) if batch.reference is None else batch.reference
            then = self._of(batch, found.answers, found.answers.sums(before.to(sums.dtype)))
        each, margins = self.cost(pairs, then)
        self._tell(hidden, pairs, margins)
        return each.sum() + 0 * found.logps.sum()

    @abstractmethod
    def cost(self, now: Pairs, then: Pairs | None) -> tuple[torch.Tensor, torch.Tensor]:
        """What each pair costs `[P]`, and its margin: positive where the preferred one is ahead."""


class Preference(LikelihoodLoss):
    """Direct preference optimisation on the distance from the stage's first weights.

    With Δ = (log p⁺ − log p⁺_ref) − (log p⁻ − log p⁻_ref), Δ̄ the same of means over tokens:
    `sigmoid` −log σ(βΔ) (DPO, arXiv 2305.18290), `hinge` max(0, 1 − βΔ) (SLiC, 2305.10425), `ipo`
    (Δ̄ − 1/2β)² (2310.12036; over tokens' means as its authors told TRL), `robust` DPO's expectation
    where a share `flipped` of pairs is labelled the wrong way round (2403.00409), `sigmoid_norm`
    −log σ(βΔ̄). `sft` times −(mean log p of the preferred answer's tokens) is added to each pair
    (RPO, 2404.19733): DPO alone may lower the likelihood of both.
    `beta` is β: how fast a pair counts as learnt.
    """

    reference = True

    def __init__(
        self,
        *,
        kind: Kind = "sigmoid",
        beta: PositiveFloat = 0.1,
        flipped: NonNegativeFloat = 0.0,
        sft: NonNegativeFloat = 0.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight=weight)
        if flipped >= 0.5 or (flipped > 0) != (kind == "robust"):
            raise ConfigError(
                "losses",
                f"Preference with kind={kind} and flipped={flipped:g}",
                expected="flipped above 0 and below 0.5 with kind=robust, and 0 with any other",
            )
        self.kind, self.beta, self.flipped, self.sft = kind, beta, flipped, sft

    def cost(self, now: Pairs, then: Pairs | None) -> tuple[torch.Tensor, torch.Tensor]:
        """As the class says; the margin is Δ, or Δ̄ where that is taken."""
        assert then is not None
        by_token = self.kind in ("ipo", "sigmoid_norm")
        (more, less), (more_then, less_then) = (
            each.means if by_token else (each.chosen, each.rejected) for each in (now, then)
        )
        margins = (more - more_then) - (less - less_then)
        each = self._of_margins(margins)
        if self.sft:
            each = each - self.sft * now.means[0]
        return each, margins.detach()

    def _of_margins(self, margins: torch.Tensor) -> torch.Tensor:
        scaled = self.beta * margins
        if self.kind == "hinge":
            return (1 - scaled).clamp_min(0)
        if self.kind == "ipo":
            return (margins - 1 / (2 * self.beta)).square()
        if self.kind == "robust":
            right, wrong = -logsigmoid(scaled), -logsigmoid(-scaled)
            share = self.flipped
            return ((1 - share) * right - share * wrong) / (1 - 2 * share)
        return -logsigmoid(scaled)


class OddsRatio(LikelihoodLoss):
    """ORPO (arXiv 2403.07691): −mean log p⁺ − λ log σ(logit p̄⁺ − logit p̄⁻), p̄ = exp(mean log p).

    No reference; the first term is the language model's loss on the preferred answer.
    `ratio` is λ.
    """

    def __init__(self, *, ratio: NonNegativeFloat = 0.1, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        self.ratio = ratio

    def cost(self, now: Pairs, then: Pairs | None) -> tuple[torch.Tensor, torch.Tensor]:
        """As the class says; the margin is that of the logits."""
        more, less = now.means
        margins = (more - less) - (_log1mexp(more) - _log1mexp(less))
        return -more - self.ratio * logsigmoid(margins), margins.detach()


class SimPO(LikelihoodLoss):
    """−log σ(β(mean log p⁺ − mean log p⁻) − γ) (arXiv 2405.14734). No reference.

    TRL's form adds the language model's loss on the preferred answer: `sft`.
    `beta` is β, `gamma` the margin γ.
    """

    def __init__(
        self,
        *,
        beta: PositiveFloat = 2.0,
        gamma: NonNegativeFloat = 1.0,
        sft: NonNegativeFloat = 0.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight=weight)
        self.beta, self.gamma, self.sft = beta, gamma, sft

    def cost(self, now: Pairs, then: Pairs | None) -> tuple[torch.Tensor, torch.Tensor]:
        """As the class says; the margin is that of means over tokens."""
        more, less = now.means
        each = -logsigmoid(self.beta * (more - less) - self.gamma) - self.sft * more
        return each, (more - less).detach()


class RewardModel(PairLoss):
    """A number for an answer, from a head on the state of its last token: −log σ(r⁺ − r⁻).

    After Bradley and Terry; `centre` adds centre · (r⁺ + r⁻)², which keeps numbers around 0
    (arXiv 2312.09244). Neither looks at the likelihoods, which are logged all the same.
    """

    def __init__(self, *, centre: NonNegativeFloat = 0.0, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        self.centre = centre

    def head(self, hidden_size: int) -> nn.Module:
        """Its layers, in float32."""
        return nn.Sequential(nn.LayerNorm(hidden_size), nn.Linear(hidden_size, 1))

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum over pairs."""
        assert head is not None
        with torch.no_grad():
            found = scored(model, batch, Hidden(hidden.states, {}, {}))
        answers = found.answers
        pairs = self._of(batch, answers, answers.sums(found.logps))
        states = hidden.states.flatten(0, 1)[on_device(answers.ends, hidden.states.device)]
        with torch.autocast(states.device.type, enabled=False):
            rewards = head(states.float()).squeeze(-1)
        first = on_device(_pairs(batch, answers), rewards.device, torch.long)
        more, less = rewards[first], rewards[first + 1]
        each = -logsigmoid(more - less) + self.centre * (more + less).square()
        self._tell(hidden, pairs, (more - less).detach())
        return each.sum() + 0 * hidden.states.float().sum()


def _pairs(batch: Batch, answers: Answers) -> list[int]:
    """The number of the first answer of each pair; those that a model drew are none."""
    found, at = [], 0
    while at < len(answers.examples):
        example = answers.examples[at]
        count = answers.examples.count(example)
        if example >= len(batch.drawn) or batch.drawn[example] is None:
            if count != 2:
                raise DataError(
                    f"row {batch.sample_ids[example]}", f"{count} answers", expected="a pair"
                )
            found.append(at)
        at += count
    return found


def _log1mexp(values: torch.Tensor) -> torch.Tensor:
    """log(1 − exp(values)) of values below 0; at 0, where a model is sure, near it."""
    return torch.log(-torch.expm1(values.clamp_max(-1e-6)))
