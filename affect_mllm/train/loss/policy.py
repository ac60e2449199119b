"""Losses on answers that the model gave itself: policy gradients, and the distance gone."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any, Literal, NamedTuple

import torch
from pydantic import PositiveFloat
from torch import nn

from affect_mllm.models.hidden import Hidden
from affect_mllm.models.indices import on_device
from affect_mllm.train.loss.answers import Answers, check_branches, scored
from affect_mllm.train.loss.objective import Loss
from affect_mllm.types import Batch, ConfigError

Over = Literal["tokens", "answers", "constant"]
Scale = Literal["none", "std"]
TIED = 1e-6  # rewards of a group that are no further apart are equal


def advantages(rewards: Sequence[float | None], scale: Scale = "none") -> list[float | None]:
    """How much better each answer of a group is than its mean, in its own units or in deviations.

    All exactly 0 in a dead group, whose rewards are equal but for rounding: divided by a deviation
    that is only rounding they would be large (arXiv 2402.03300 has the division, 2503.20783 why to
    leave it out). An answer without a reward has no advantage and is left out of the mean.
    """
    known = [reward for reward in rewards if reward is not None]
    if is_dead(rewards):
        return [None if reward is None else 0.0 for reward in rewards]
    mean, by = fmean(known), stdev(known) if scale == "std" else 1.0
    return [None if reward is None else (reward - mean) / by for reward in rewards]


def is_dead(rewards: Sequence[float | None]) -> bool:
    """Whether a group says nothing about which answer is better."""
    known = [reward for reward in rewards if reward is not None]
    return len(known) < 2 or max(known) - min(known) < TIED


class Clip(NamedTuple):
    """How far a ratio may lead: below and above 1, and where it ends for bad answers too."""

    low: float = 0.2
    high: float = 0.2
    cap: float | None = None


def surrogate(
    log_ratio: torch.Tensor, advantage: torch.Tensor, clip: Clip
) -> tuple[torch.Tensor, torch.Tensor]:
    """−min(ρA, clip(ρ)A) of each entry (PPO, arXiv 1707.06347), and whether the clip acts there."""
    ratio = log_ratio.exp()
    inside = ratio.clamp(1 - clip.low, 1 + clip.high)
    outside = ratio if clip.cap is None else ratio.clamp_max(clip.cap)
    acts = (ratio < 1 - clip.low) & (advantage < 0) | (ratio > 1 + clip.high) & (advantage > 0)
    return -torch.minimum(outside * advantage, inside * advantage), acts


class GroupPolicy(Loss):
    """Group-relative policy gradient (GRPO, arXiv 2402.03300; Dr. GRPO, 2503.20783).

    Each answer to a prompt has the advantage of its reward over its group's mean. `over` is what
    the sum over tokens is divided by: the step's `tokens` (DAPO, 2503.14476), its `answers`, each
    of which is first divided by its own length (GRPO), or `constant`, their number times L, the
    most tokens one may have. Only the last, with `scale: none`, is the gradient of the expected
    reward (times (G − 1)/(G · L)): a division by the answer's length or by the group's deviation
    favours some answers over others.

    `old`: `own`, the first update of answers that were just drawn, whose ratios are 1; `sampled`,
    ratios to the log-probabilities at sampling, which several updates of a rollout need. `ratio` is
    taken a `token` or a `sequence` (mean over its tokens; GSPO, 2507.18071); `clip_high` is `clip`
    unless given. A group whose rewards are equal has a gradient of exactly zero.
    `cap` is the most that a ratio outside of the clipped range may be (null: no bound).
    """

    drawn = True
    notes = ("entropy", "drift", "clipped")

    def __init__(
        self,
        *,
        over: Over = "constant",
        scale: Scale = "none",
        clip: PositiveFloat = 0.2,
        clip_high: PositiveFloat | None = None,
        cap: PositiveFloat | None = None,
        ratio: Literal["token", "sequence"] = "token",
        old: Literal["own", "sampled"] = "own",
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight=weight)
        if clip >= 1:
            raise ConfigError("losses", f"GroupPolicy with clip={clip:g}", expected="below 1")
        self.over, self.ratio, self.old = over, ratio, old
        self.scale: Scale = scale
        self.clip = Clip(clip, clip if clip_high is None else clip_high, cap)

    def check(self, model: Any) -> None:
        """ConfigError for an LLM that cannot read several answers behind one prompt."""
        check_branches(model)

    def count(self, batch: Batch) -> int:
        """Tokens, answers, or answers times the most tokens one may have."""
        sizes = []
        for drawn in filter(None, batch.drawn):
            kept = [len(own) for own, r in zip(drawn.logps, drawn.rewards, strict=True)
                    if r is not None]  # fmt: skip
            each = {"tokens": sum(kept), "answers": len(kept), "constant": len(kept) * drawn.limit}
            sizes.append(each[self.over])
        return sum(sizes)

    def active(self, batch: Batch, count: int) -> int:
        """Answers of groups that are not dead."""
        del count
        alive = (each for each in batch.drawn if each is not None and not is_dead(each.rewards))
        return sum(len(each.rewards) for each in alive)

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum over tokens, or over answers of means over tokens."""
        found = scored(model, batch, hidden)
        mine = drawn_tokens(batch, found.answers, self.scale)
        at = on_device(mine.places, found.logps.device)
        logps, sampled = found.logps[at], mine.sampled.to(found.logps)
        advantage = mine.advantages.to(found.logps)
        each, acts = self.terms(logps, sampled, advantage, mine.lengths)
        drift = (logps.detach() - sampled).abs().sum()
        self.note(
            hidden,
            len(logps),
            entropy=found.entropies[at].sum(),
            drift=drift,
            clipped=acts.float().sum(),
        )
        return each.sum() + 0 * found.logps.sum()

    def terms(
        self,
        logps: torch.Tensor,
        sampled: torch.Tensor,
        advantage: torch.Tensor,
        lengths: Sequence[int],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What each token `[M]` of answers of these lengths adds, and whether the clip acts."""
        log_ratio = logps - (logps.detach() if self.old == "own" else sampled)
        if self.ratio == "sequence" and lengths:
            means = [part.mean() for part in log_ratio.split(list(lengths))]
            log_ratio = torch.cat([m.expand(n) for m, n in zip(means, lengths, strict=True)])
        each, acts = surrogate(log_ratio, advantage, self.clip)
        if self.over == "answers":
            sizes = torch.tensor([n for n in lengths for _ in range(n)])
            each = each / on_device(sizes, each.device, each.dtype)
        return each, acts


class Divergence(Loss):
    """KL(policy ‖ the stage's first weights), estimated on the tokens that were drawn.

    The value is Schulman's k3, e^d − d − 1 with d = log p_ref − log p (joschu.net/blog/kl-approx),
    never negative; the gradient is that of d²/2, whose expectation is the divergence's. k3's own is
    that of the other direction, and k1's is 0. Of each token given those before it: how an answer
    leads to other prefixes has no share in it. Divided by the step's tokens.
    """

    reference = drawn = True
    notes = ("divergence",)

    def check(self, model: Any) -> None:
        """ConfigError for an LLM that cannot read several answers behind one prompt."""
        check_branches(model)

    def count(self, batch: Batch) -> int:
        """Tokens of answers that the model gave."""
        return sum(len(own) for drawn in filter(None, batch.drawn) for own in drawn.logps)

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum over tokens."""
        found = scored(model, batch, hidden)
        if batch.reference is None and len(found.logps):
            raise ConfigError("losses", "no reference", fix="train by `affect-mllm train`")
        before = found.logps.detach() if batch.reference is None else batch.reference
        drawn = [batch.drawn[i] is not None for i in found.answers.examples]
        kept = torch.tensor(drawn)[found.answers.owners].nonzero().squeeze(1)
        at = on_device(kept, found.logps.device)
        each = divergence(found.logps[at], before[at])
        self.note(hidden, len(at), divergence=each.sum())
        return each.sum() + 0 * found.logps.sum()


def divergence(logps: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Of each token `[M]`: k3's value with the gradient (log p − log p_ref) ∇log p."""
    ahead = (reference - logps).detach()
    value = torch.expm1(ahead) - ahead
    return value - ahead * (logps - logps.detach())


class DrawnTokens(NamedTuple):
    """The tokens `[M]` of answers that are learnt from: `places` among all, and their numbers."""

    places: torch.Tensor
    sampled: torch.Tensor
    advantages: torch.Tensor
    lengths: tuple[int, ...]


def drawn_tokens(batch: Batch, answers: Answers, scale: Scale) -> DrawnTokens:
    """Those of a batch's drawn answers that have a reward, on the host."""
    groups = {
        i: advantages(drawn.rewards, scale)
        for i, drawn in enumerate(batch.drawn)
        if drawn is not None
    }
    places, sampled, given, lengths, start = [], [], [], [], 0
    for i, k, length in zip(answers.examples, answers.numbers, answers.lengths, strict=True):
        drawn, own = batch.drawn[i], groups.get(i)
        if drawn is not None and own is not None and own[k] is not None:
            places += range(start, start + length)
            sampled += drawn.logps[k]
            given += [own[k]] * length
            lengths.append(length)
        start += length
    return DrawnTokens(
        torch.tensor(places, dtype=torch.long),
        torch.tensor(sampled, dtype=torch.float64),
        torch.tensor(given, dtype=torch.float64),
        tuple(lengths),
    )
