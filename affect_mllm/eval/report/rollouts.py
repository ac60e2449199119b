"""Answers that a stage gave itself, to read: a few groups of steps from first to last."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from affect_mllm.eval.report import charts

CONSTANT = "/constant"  # behind a reward's name
STEPS, GROUPS = 12, 2  # of a stage, and of a step, that are shown


@dataclass(frozen=True)
class Rollouts:
    """Groups by step, as the files have them; `bad_lines` could not be read."""

    steps: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    bad_lines: int = 0

    @classmethod
    def read(cls, folder: Path) -> Rollouts:
        """Those of all ranks in a stage's folder; none where answers were not drawn."""
        steps: dict[int, list[dict[str, Any]]] = {}
        bad = 0
        for path in sorted(folder.glob("rollouts-*.jsonl")):
            for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
                try:
                    row = json.loads(line)
                    steps.setdefault(int(row["step"]), []).append(
                        {"id": str(row["id"]), "question": row["question"],
                         "answers": [_answer(each) for each in row["answers"]]}
                    )  # fmt: skip
                except (ValueError, TypeError, KeyError, AttributeError):
                    bad += 1
        return cls(dict(sorted(steps.items())), bad)

    def shown(self) -> list[tuple[int, list[dict[str, Any]]]]:
        """Steps evenly from the first to the last, and the first groups of each."""
        numbers = [*self.steps]
        if len(numbers) > STEPS:
            last = len(numbers) - 1
            numbers = [numbers[round(n * last / (STEPS - 1))] for n in range(STEPS)]
        return [(number, self.steps[number][:GROUPS]) for number in numbers]


def _answer(row: Mapping[str, Any]) -> dict[str, Any]:
    rewards = {str(name): value for name, value in row["rewards"].items()}
    return {"text": str(row["text"]), "ended": bool(row["ended"]), "rewards": rewards,
            "reward": row["reward"], "advantage": row["advantage"]}  # fmt: skip


def curve(name: str, rows: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Mean rewards by step, from a stage's log; None of a stage without any.

    Beside a reward that knows it, what one answer for every row would be worth.
    """
    drawn = [(float(row["step"]), row["rollout"]) for row in rows if row.get("rollout")]
    if not drawn:
        return None
    first = drawn[0][1]
    constant = {
        key.removesuffix(CONSTANT): float(first[key]) for key in first if key.endswith(CONSTANT)
    }
    series = {
        key: [(step, float(told[key])) for step, told in drawn if key in told]
        for key in ("reward", "dead_groups", *constant)
    }
    for key, value in constant.items():
        series[f"{key}, one answer for all"] = [(step, value) for step, _ in drawn]
    return charts.lines(series, title=f"{name}: mean reward, dead groups", unit="step")
