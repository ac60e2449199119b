"""One step of 24 answers in every layout: the same answers, rewards, losses and gradient norms.

Twelve prompts with two answers each, since a group is never split: 1×24, 1×(4×6), 2×12, 2×(3×4) are
ranks × (micro-batches × answers). `AFFECT_SOAK=1` (`make soak`) takes every strategy with every
layout, and 24 prompts with four answers too; else each strategy once.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from affect_mllm.train.main import main
from affect_mllm.types import ExitCode
from tests.processes import finished
from tests.train import resuming
from tests.train.test_reinforce import SLOW, TORCHRUN, close, overrides, rows

SOAK = bool(os.environ.get("AFFECT_SOAK"))
# DeepSpeed's have a process group of their own.
STRATEGIES = {"torch": ("ddp", "fsdp2"), "deepspeed": ("zero1", "zero2", "zero3")}
PACKED = 900  # tokens a row


@dataclass(frozen=True)
class Layout:
    """Micro-batches a rank, padded (0) or packed into rows of so many tokens."""

    micro_batches: int
    row_tokens: int
    strategy: str = "single"

    @property
    def name(self) -> str:
        return f"{self.strategy}-{self.micro_batches}-{self.row_tokens}"

    def given(self, tiny, run: Path, prompts: int, each: int) -> list[str]:
        """The command's overrides: two steps, the second with what the first has made."""
        return overrides(
            tiny,
            run / self.name,
            *SLOW,
            "stages.reinforce.steps=2",
            f"stages.reinforce.batch_size={prompts}",
            f"stages.reinforce.rollout.answers={each}",
            f"stages.reinforce.rollout.at_once={prompts if self.row_tokens else 4 * each}",
            f"launch.micro_batches={self.micro_batches}",
            f"launch.row_tokens={self.row_tokens}",
            f"launch.strategy={self.strategy}",
            "+launch.persistence_threshold=0",  # what can be split is split
        )


ALONE = [Layout(micro, packed) for micro, packed in product((1, 4), (0, PACKED))]
HALVES = [
    Layout(micro, packed, name)
    for name, micro, packed in product(sum(STRATEGIES.values(), ()), (1, 3), (0, PACKED))
]  # fmt: skip
# Of HALVES what CI has time for: every strategy, and each way of cutting and packing once.
FEW = [
    Layout(3, PACKED, "ddp"),
    Layout(1, 0, "zero1"),
    Layout(3, 0, "zero2"),
    Layout(3, 0, "fsdp2"),
    Layout(3, PACKED, "zero3"),
]
SHAPES = [(12, 2), (24, 4)] if SOAK else [(12, 2)]


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def shape(request) -> tuple[int, int]:
    """Prompts, and answers to each."""
    return request.param


@pytest.fixture(scope="module")
def alone(tiny, shape, tmp_path_factory) -> Path:
    """What one process does with all answers: 1×24 and 1×(4×6)."""
    folder = tmp_path_factory.mktemp("alone")
    for layout in ALONE if SOAK else [ALONE[0], ALONE[-1]]:
        assert main(layout.given(tiny, folder, *shape)) == ExitCode.DONE
    return folder


def test_micro_batches_and_packing_change_nothing_in_one_process(alone, shape) -> None:
    plain, *others = (alone / layout.name for layout in ALONE if (alone / layout.name).exists())
    for each in rows(plain):
        assert each["examples"] == shape[0]
        assert each["rollout"]["own_spread"] > 0
        assert each["grad_norm"] > 0.01
    for other in others:
        close(plain, other)


@pytest.mark.parametrize("kind", STRATEGIES)
def test_two_processes_do_what_one_does(tiny, alone, shape, tmp_path, kind) -> None:
    """2×12 and 2×(3×4); a group is never split, ranks draw for as long as theirs take."""
    chosen = [each for each in (HALVES if SOAK else FEW) if each.strategy in STRATEGIES[kind]]
    plan = [{"overrides": each.given(tiny, tmp_path, *shape), "stop": None} for each in chosen]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    code, said = finished([*TORCHRUN, "-m", resuming.__name__, str(path)], deadline_s=1800)
    assert code == 0, said[-3000:]
    for each in chosen:
        found = tmp_path / each.name
        close(alone / ALONE[0].name, found)
        assert len(list((found / "reinforce").glob("rollouts-*.jsonl"))) == 2
        seen = [json.loads(x) for x in (found / "seen-0.jsonl").read_text().splitlines()]
        assert {len(micro) for *_, micro in seen} == {each.micro_batches}
