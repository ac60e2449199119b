"""How often intervals hold the true value, and how often equal runs are told apart, by simulation.

`python -m tests.eval.metrics.simulation 2000` prints the tables of docs/evaluation.md. Samples come
in groups that share an effect: a speaker who is easy to read, a class that is frequent in a clip.
The true value is that of 20,000 groups.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from affect_mllm.eval.metrics import values
from affect_mllm.eval.metrics.base import Array
from affect_mllm.eval.metrics.compare import difference_of
from affect_mllm.eval.metrics.groups import Groups
from affect_mllm.eval.metrics.intervals import interval
from affect_mllm.eval.metrics.registry import METRICS

GROUPS = (5, 10, 30)
CLASSES, SETS, BINS = 4, 6, 10
Random = np.random.Generator


@dataclass(frozen=True)
class World:
    """What samples are like: group sizes, how far groups differ, how good the answers are."""

    size: int = 20
    unequal: bool = False
    spread: float = 1.0  # of a group's effect, in logits or in the scale's unit
    base: float = 1.0  # of right answers, in logits
    own: float = 0.0  # of an effect that a group has on one run alone
    noise: float = 0.6  # of answers that are numbers


def numbered(random: Random, world: World, groups: int) -> Array:
    """The group of each sample."""
    if world.size == 1:
        return np.arange(groups)
    sizes = random.choice([world.size // 3, world.size, 2 * world.size], groups)
    even = np.maximum(1, random.poisson(world.size, groups))
    return np.repeat(np.arange(groups), sizes if world.unequal else even)


def chance(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits))


def confusions(random: Random, world: World, groups: int, runs: int) -> tuple[Array, list[Array]]:
    """Counts `[n, K, K + 1]` of answers that are right more often in some groups and classes."""
    group = numbered(random, world, groups)
    tilt = np.log([0.4, 0.3, 0.2, 0.1]) + 0.7 * random.standard_normal((groups, CLASSES))
    shares = np.exp(tilt) / np.exp(tilt).sum(1, keepdims=True)
    truth = (shares.cumsum(1)[group] < random.random(len(group))[:, None]).sum(1)
    truth = truth.clip(0, CLASSES - 1)
    shared, luck = world.spread * random.standard_normal(groups), random.random(len(group))
    found = []
    for _ in range(runs):
        own = world.own * random.standard_normal(groups)
        ease = np.array([1.0, 0.5, 0.0, -0.5])[truth] + world.base + (shared + own)[group]
        draw = np.where(random.random(len(group)) < 0.5, luck, random.random(len(group)))
        wrong = random.integers(0, CLASSES, len(group))
        wrong = np.where(random.random(len(group)) < 0.1, CLASSES, wrong)
        wrong = np.where(wrong == truth, (truth + 1) % CLASSES, wrong)
        counts = np.zeros((len(group), CLASSES, CLASSES + 1))
        answer = np.where(draw < chance(ease), truth, wrong)
        counts[np.arange(len(group)), truth, answer] = 1
        found.append(counts)
    return group, found


def hits(random: Random, world: World, groups: int, runs: int) -> tuple[Array, list[Array]]:
    group, found = confusions(random, world, groups, runs)
    right = [np.trace(each[..., :-1], axis1=1, axis2=2) for each in found]
    return group, [np.stack([np.ones(len(group)), each], 1) for each in right]


def numbers(random: Random, world: World, groups: int, runs: int) -> tuple[Array, list[Array]]:
    """`[2, n]` of numbers in ±3: truths, and answers that err by group and by sample."""
    group = numbered(random, world, groups)
    truth = 0.7 * random.standard_normal(groups)[group] + random.standard_normal(len(group))
    found = []
    for _ in range(runs):
        effect = 0.5 * world.spread * random.standard_normal(groups)[group]
        said = 0.7 * truth + effect + world.noise * random.standard_normal(len(group)) + 0.2
        found.append(np.clip(np.stack([truth, said]), -3, 3))
    return group, found


def of_numbers(make: Callable[[Array], Array]) -> Callable[..., tuple[Array, list[Array]]]:
    def found(random: Random, world: World, groups: int, runs: int) -> tuple[Array, list[Array]]:
        group, pairs = numbers(random, world, groups, runs)
        return group, [make(each) for each in pairs]

    return found


def errors(power: int) -> Callable[..., tuple[Array, list[Array]]]:
    return of_numbers(
        lambda pair: np.stack([np.ones(len(pair[0])), np.abs(pair[0] - pair[1]) ** power], 1)
    )


def rows(pair: Array) -> Array:
    ones = np.ones(len(pair[0]))
    return np.stack([ones, pair[0], ones, pair[1]], 1)


def divergences(pair: Array) -> Array:
    """Errors with a long tail, as Kullback-Leibler divergences have."""
    tail = np.minimum(np.exp(1.2 * np.abs(pair[0] - pair[1]) - 1), 13.8)
    return np.stack([np.ones(len(tail)), tail], 1)


def label_sets(random: Random, world: World, groups: int, runs: int) -> tuple[Array, list[Array]]:
    """True and false positives, false and true negatives `[n, K, 4]`."""
    group = numbered(random, world, groups)
    often = np.array([0.5, 0.0, -0.5, -1.0, -1.5, -2.0]) + 0.7 * random.standard_normal(
        (groups, SETS)
    )
    truth = random.random((len(group), SETS)) < chance(often[group])
    shared = world.spread * random.standard_normal(groups)
    found = []
    for _ in range(runs):
        ease = 1.2 + shared + 0.5 * random.standard_normal(groups)
        kept = random.random(truth.shape) < chance(ease[group][:, None])
        said = np.where(kept, truth, random.random(truth.shape) < 0.3)
        parts = truth & said, ~truth & said, truth & ~said, ~truth & ~said
        found.append(np.stack(parts, -1).astype(np.float64))
    return group, found


def overlaps(random: Random, world: World, groups: int, runs: int) -> tuple[Array, list[Array]]:
    """Whether a sample counts in each of three wheels, and its precision and recall."""
    group = numbered(random, world, groups)
    shared = world.spread * random.standard_normal(groups)[group]
    shared = (shared + 0.5 * random.standard_normal(len(group)))[:, None]
    found = []
    for _ in range(runs):
        sides = [shared + off + 0.5 * random.standard_normal((len(group), 3)) for off in (0.2, 0)]
        steps = [np.select([side < -0.5, side < 0.5], [0, 0.5], 1.0) for side in sides]
        found.append(np.stack([np.ones((len(group), 3)), *steps], -1))
    return group, found


def calibrated(random: Random, world: World, groups: int, runs: int) -> tuple[Array, list[Array]]:
    """Count, confidence and outcome `[n, BINS, 3]` of confidences that are too high or honest."""
    group = numbered(random, world, groups)
    found = []
    for _ in range(runs):
        stated = random.random(len(group))
        real = np.clip(stated - world.noise * 0.25, 0.02, 0.98)
        ease = np.log(real / (1 - real)) + world.own * random.standard_normal(groups)[group]
        counts = np.zeros((len(group), BINS, 3))
        place = np.arange(len(group)), (stated * BINS).astype(int)
        counts[place] = np.stack(
            [np.ones(len(group)), stated, random.random(len(group)) < chance(ease)], 1
        )
        found.append(counts)
    return group, found


@dataclass(frozen=True)
class Case:
    """One metric in one world; `worst` is the other end of its scale."""

    name: str
    metric: str
    make: Callable[..., tuple[Array, list[Array]]]
    world: World = field(default_factory=World)
    worst: float = 0.0

    @cached_property
    def truth(self) -> float:
        _, (big,) = self.make(np.random.default_rng(99), self.world, 20_000, 1)
        return METRICS[self.metric].of(big)


ROOTS = of_numbers(values._moments)
CASES = [
    Case("accuracy", "accuracy", hits),
    Case("accuracy near 97 %", "accuracy", hits, World(base=3.5)),
    Case("accuracy, unequal groups", "accuracy", hits, World(unequal=True)),
    Case("accuracy, equal groups' effects", "accuracy", hits, World(spread=0.0)),
    Case("uar", "uar", confusions),
    Case("uar near 96 %", "uar", confusions, World(base=3.5)),
    Case("macro_f1", "macro_f1", confusions),
    Case("weighted_f1", "weighted_f1", confusions),
    Case("kappa", "kappa", confusions),
    Case("set_macro_f1", "set_macro_f1", label_sets),
    Case("set_micro_f1", "set_micro_f1", label_sets),
    Case("ew_f1", "ew_f1", overlaps),
    Case("mae", "mae", errors(1), worst=6.0),
    Case("rmse", "rmse", errors(2), worst=6.0),
    Case("mae, unequal groups", "mae", errors(1), World(unequal=True), worst=6.0),
    Case("kl_divergence", "kl_divergence", of_numbers(divergences), worst=13.8),
    Case("pearson", "pearson", ROOTS),
    Case("pearson near 0.9", "pearson", ROOTS, World(spread=0.3, noise=0.25)),
    Case("spearman", "spearman", of_numbers(rows)),
    Case("kendall_tau", "kendall_tau", of_numbers(rows)),
    Case("ccc", "ccc", ROOTS),
    Case("r2", "r2", ROOTS),
    Case("ece, honest", "ece", calibrated, World(noise=0.0), worst=1.0),
    Case("ece, overconfident", "ece", calibrated, World(own=0.7), worst=1.0),
]
ALIKE = [
    Case("accuracy", "accuracy", hits, World(own=0.7)),
    Case("accuracy, single samples", "accuracy", hits, World(size=1, own=0.7)),
    Case("accuracy near 97 %", "accuracy", hits, World(base=3.5, own=0.3)),
    Case("accuracy, unequal groups", "accuracy", hits, World(unequal=True, own=0.7)),
    Case("uar", "uar", confusions, World(own=0.7)),
    Case("macro_f1", "macro_f1", confusions, World(own=0.7)),
    Case("kappa", "kappa", confusions, World(own=0.7)),
    Case("set_macro_f1", "set_macro_f1", label_sets),
    Case("ew_f1", "ew_f1", overlaps),
    Case("mae", "mae", errors(1), worst=6.0),
    Case("rmse", "rmse", errors(2), worst=6.0),
    Case("pearson", "pearson", ROOTS),
    Case("spearman", "spearman", of_numbers(rows)),
    Case("ccc", "ccc", ROOTS),
    Case("r2", "r2", ROOTS),
]


def coverage(case: Case, groups: int, repeats: int) -> float:
    """How often the interval holds the true value."""
    truth, metric = case.truth, METRICS[case.metric]
    random = np.random.default_rng(groups)
    held = 0
    for _ in range(repeats):
        group, (found,) = case.make(random, case.world, groups, 1)
        got = interval(metric, found, Groups(group), case.worst)
        held += got.ci_low <= truth <= got.ci_high
    return held / repeats


def told_apart(case: Case, groups: int, repeats: int) -> tuple[float, float]:
    """Of two runs that are alike: how often p ≤ 0.05, and how often the interval holds 0."""
    metric, random = METRICS[case.metric], np.random.default_rng(groups)
    width = abs(metric.best - case.worst) * (2 if metric.scale == "correlation" else 1)
    apart = held = 0
    for _ in range(repeats):
        group, (one, other) = case.make(random, case.world, groups, 2)
        got = difference_of(metric, one, other, Groups(group), width)
        apart += got.p <= 0.05
        held += math.isnan(got.ci_low) or got.ci_low <= 0 <= got.ci_high
    return apart / repeats, held / repeats


def main(repeats: int) -> None:
    """Print both tables as Markdown."""
    head = " | ".join(f"{groups} groups" for groups in GROUPS)
    print(f"| 95 % interval of | true value | {head} |\n|---|---|{'---|' * len(GROUPS)}")
    for case in CASES:
        row: list[Any] = [f"{coverage(case, groups, repeats):.3f}" for groups in GROUPS]
        print(f"| {case.name} | {case.truth:.3f} | {' | '.join(row)} |", flush=True)
    print(f"\n| difference of two equal runs | {head} |\n|---|{'---|' * len(GROUPS)}")
    for case in ALIKE:
        times = repeats // 5 if METRICS[case.metric].whole else repeats  # they take longer
        pairs = [told_apart(case, groups, times) for groups in GROUPS]
        row = [f"{held:.3f}, {apart:.3f}" for apart, held in pairs]
        print(f"| {case.name} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
