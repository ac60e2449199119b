"""How long it takes to summarise many rows: metrics, intervals, parts, two runs beside each other.

    python benchmarks/summarise.py [ROWS] [--against REVISION]

A closed task, an open list and a regression of ROWS rows in groups of four, each with two
breakdowns; CPU time of one process, what is built once included. "run": one run, from its answers
to its result (`score`), the share of reading beside it; "summary": two runs and the majority class
beside each other (`summarise`). Answers are bare ones, as tuned models give them: how fast long
ones are read is `benchmarks/reading.py`. With --against fewer of the rows go through another
version in a worktree of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
MORE = ("worried", "calm", "frustrated", "excited", "confused", "proud", "bored")
FEWER = 5_000  # an older version's time grows with the square of the rows
Made = tuple[Any, list[Any], dict[str, list[Any]]]  # task, rows, runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=50_000)
    parser.add_argument("--against", metavar="REVISION", help="another version of this repository")
    parser.add_argument("--json", action="store_true", help="print the numbers of this tree alone")
    given = parser.parse_args()
    if given.json:
        print(json.dumps(measured(given.rows)))
        return
    here = measured(given.rows)
    there = measured_at(given.against, FEWER) if given.against else {}
    fewer = measured(FEWER) if there else {}
    print(f"{'task':18}{'run':>9}{'summary':>10}   of {given.rows} rows, seconds of CPU")
    for name, times in here.items():
        print(f"{name:18}" + "".join(f"{seconds:8.2f} s" for seconds in times), end="")
        if there:
            ratios = (old / new for old, new in zip(there[name], fewer[name], strict=True))
            print(f"   of {FEWER}: {' '.join(f'{each:6.1f} ×' for each in ratios)}", end="")
        print()


def measured(rows: int) -> dict[str, tuple[float, float]]:
    """{task: (seconds for one run, seconds for a summary)}."""
    from affect_mllm.eval.score.scoring import score
    from affect_mllm.eval.score.summary import summarise

    found = {}
    for name, make in (("closed label", closed), ("open list", listed), ("regression", scale)):
        task, samples, runs = make(rows)
        one = timed(lambda t=task, s=samples, r=runs: score(t, s, r["text"]))
        every = timed(lambda t=task, s=samples, r=runs: summarise(t, s, r))
        found[name] = one, every
    return found


def closed(rows: int) -> Made:
    """Seven labels; 70 and 60 % right."""
    return _made(rows, {"labels": LABELS}, "emotion", lambda draw: draw.choice(LABELS), str)


def listed(rows: int) -> Made:
    """One to three words; 70 and 60 % of the lists right."""

    def truth(draw: random.Random) -> list[str]:
        return draw.sample((*LABELS, *MORE), draw.randint(1, 3))

    how = {"kind": "open_vocabulary", "metrics": ("ew_f1", "ew_precision", "hit_rate")}
    return _made(rows, how, "emotions", truth, ", ".join)


def scale(rows: int) -> Made:
    """A number from −3 to 3 by tenths; 70 and 60 % right."""
    how = {"kind": "regression", "low": -3.0, "high": 3.0,
           "metrics": ("mae", "pearson", "ccc", "acc2_has0", "f1_non0", "acc7")}  # fmt: skip
    return _made(rows, how, "sentiment", lambda draw: round(draw.uniform(-3, 3), 1), str)


def _made(
    rows: int,
    how: dict[str, Any],
    key: str,
    truth: Callable[[random.Random], Any],
    said: Callable[[Any], str],
) -> Made:
    from affect_mllm.eval.predictions import Prediction
    from affect_mllm.eval.task import Task
    from affect_mllm.types import Sample

    draw = random.Random(0)
    task = Task(name="bench", version="1", question="Which?", breakdowns=("scene", "sex"), **how)
    samples = [
        Sample(f"s{i:06d}", Path(), split="test", group=f"g{i // 4}",
               labels={key: truth(draw), "scene": f"scene {i % 5}", "sex": "fm"[i % 2]})
        for i in range(rows)
    ]  # fmt: skip
    runs = {
        name: [
            Prediction(s.id, said(s.labels[key] if draw.random() < p else truth(draw)))
            for s in samples
        ]
        for name, p in (("face+audio+text", 0.7), ("text", 0.6))
    }
    return task, samples, runs


def timed(work: Callable[[], Any]) -> float:
    """Seconds of CPU."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measured_at(revision: str, rows: int) -> dict[str, tuple[float, float]]:
    """The same of another version, some of whose names were others."""
    from another_version import numbers_at  # which the other version may lack

    return numbers_at(revision, Path(__file__), str(rows), text=_for)


def _for(tree: Path) -> str:
    """This script with the places that modules have in that version."""
    text = Path(__file__).read_text(encoding="utf-8")
    for name in ("scoring", "summary"):
        if not (tree / f"affect_mllm/eval/score/{name}.py").exists():
            text = text.replace(f"affect_mllm.eval.score.{name}", f"affect_mllm.eval.{name}")
    return text


if __name__ == "__main__":
    main()
