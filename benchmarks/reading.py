"""How fast answers are read: answers a second and milliseconds for a long one, by kind of task.

`python benchmarks/reading.py --against REVISION` runs the same answers through another version in a
worktree of its own and prints the ratios. CPU time of one process, the best of three.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from measured import Row, report

ANSWER = (
    "The person in the video speaks with a raised voice and furrowed brows while looking away from "
    "the camera. He clenches his fists, and his tone gets louder, which suggests that the emotion "
    "is {0} overall."
)
ANSWERS = {
    "meld_closed": "anger",
    "mafw_compound": "anger and sadness",
    "meld": "angry, frustrated",
    "meld_sentiment": "negative",
    "cmu_mosi_intensity": "-1.5",
    "emotion6": "joy 60, sadness 40",
    "mvei": "not the one of the statement, which is incorrect",
    "eemo_bench_perception": "B",
    "mer2026_track3": "that of the second description",
    "emobench_m_mc_eiu": "happy, agreeing",
    "emer": "sad",
}
LABELS = {
    "options": {"A": "happy", "B": "sad", "C": "angry", "D": "not sure"},
    "question": "What does the person feel?",
    "question_type": "emotion",
    "statement": "The man looks sad.",
    "a1": "The person is happy because she wins.",
    "a2": "The man is sad and cries.",
}
# Where the policies lie: here, and in older versions.
PLACES = ("affect_mllm.eval.read.policies", "affect_mllm.eval.parse.policies")
LONG, SHORTER = 10_000, 1_000
TEXTS = ("joy ", "not angry, sad or afraid; ", "The speaker is 1.5 B yes first ", "愤怒,不是悲伤。")
COUNT, ROUNDS = 300, 3
LONGEST_S = 0.5  # what takes longer is measured once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", metavar="REVISION", help="another version of this repository")
    parser.add_argument("--json", action="store_true", help="print the numbers of this tree alone")
    given = parser.parse_args()
    here = measured()
    if given.json:
        print(json.dumps(here))
        return
    there = measured_at(given.against) if given.against else {}
    print(f"{'task':24}{'answers/s':>11}{'10,000 characters':>20}", *(["ratios"] if there else []))
    for name, (rate, long_ms) in here.items():
        old = there.get(name)
        ratios = f"  {rate / old[0]:8.1f} ×{old[1] / long_ms:10.1f} ×" if old else ""
        print(f"{name:24}{rate:11,.0f}{long_ms:17.1f} ms{ratios}")
    report([*grown()])


def grown() -> Iterator[Row]:
    """What a character of a long answer costs, to what it does in one of a tenth of its length."""
    for name, (_, read) in readers().items():
        ratios = [_slowest(read, LONG) / _slowest(read, SHORTER) for _ in range(ROUNDS)]
        what = f"reading a character of {LONG:,}, `{name}`"
        yield Row.of(what, f"a character of {SHORTER:,}", ratios, "lower")


def _slowest(read: Callable[[str], None], length: int) -> float:
    """Seconds a character of the worst text."""
    return max(best(read, [(text * length)[:length]]) for text in TEXTS) / length


def measured() -> dict[str, tuple[float, float]]:
    """{task: (answers of 200 characters a second, milliseconds for the slowest long one)}."""
    found = {}
    for name, (answer, read) in readers().items():
        seconds = best(read, [answer] * COUNT)
        found[name] = (COUNT / seconds, 1e3 * LONG * _slowest(read, LONG))
    return found


def readers() -> dict[str, tuple[str, Callable[[str], None]]]:
    """{task: (an answer to it, what reads one)}, used once already."""
    from affect_mllm.eval.benchmarks import load_task
    from affect_mllm.types import Sample

    extract, found = policies().extract, {}
    for name, said in ANSWERS.items():
        task, sample = load_task(name), Sample("a", Path(), labels=LABELS)
        read, answer = partial(read_one, extract, task, sample), ANSWER.format(said)
        read(answer)
        found[name] = (answer, read)
    return found


def best(read: Callable[[str], None], texts: list[str]) -> float:
    """The least seconds of a few rounds."""
    first = timed(read, texts)
    return first if first > LONGEST_S else min(timed(read, texts) for _ in range(ROUNDS))


def policies() -> Any:
    """The module of the policies, whichever version this is."""
    for place in PLACES:
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError:
            continue
    raise SystemExit(f"no policies in any of {PLACES}")


def read_one(extract: Any, task: Any, sample: Any, text: str) -> None:
    """Read one answer as scoring does."""
    extract(text, task.space(sample), task.policy)


def timed(read: Callable[[str], None], texts: list[str]) -> float:
    """Seconds of CPU for reading `texts`."""
    start = time.process_time()
    for text in texts:
        read(text)
    return time.process_time() - start


def measured_at(revision: str) -> dict[str, tuple[float, float]]:
    """The same of another version."""
    from another_version import numbers_at  # which the other version may lack

    here = Path(__file__)
    return numbers_at(revision, here, text=lambda _: here.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
