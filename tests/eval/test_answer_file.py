"""A file of answers: killed and taken up again, re-used, shared by several processes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from affect_mllm.eval.answer_file import predict_file
from affect_mllm.types import Sample

STAMP = {"checkpoint": "c1", "prompt_hash": "p1"}
ROWS = [Sample(name, Path(), subtitle="x") for name in ("b", "a", "d", "c")]


class Model:
    """Answers rows in another order than asked, notes what it was asked, and may be killed."""

    def __init__(self, *, dies_after: int | None = None, **stamp: str) -> None:
        self.asked: list[str] = []
        self.dies_after, self.stamp = dies_after, {**STAMP, **stamp}

    def __call__(self, samples: Sequence[Sample]) -> Iterator[dict]:
        for count, sample in enumerate(sorted(samples, key=lambda s: s.id)):
            if count == self.dies_after:
                raise KeyboardInterrupt
            self.asked.append(sample.id)
            gate = {"face": {"general": 0.5}}
            yield {"id": sample.id, **self.stamp, "response": f"about {sample.id}", "gate": gate}


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_killed_generation_goes_on_without_repeating_or_losing(tmp_path: Path) -> None:
    path = tmp_path / "deep/x.predictions.jsonl"
    first = Model(dies_after=2)
    with pytest.raises(KeyboardInterrupt):
        predict_file(path, ROWS, first, stamp=STAMP)
    assert not path.exists(), "half a file must not look finished"
    partial = path.with_name(path.name + ".partial.0")
    whole = partial.read_text()
    # torn in the middle of a line, where what stands there happens to end with a brace
    partial.write_text(whole + whole.splitlines()[1].replace("about b", "torn")[:-1])
    second = Model()
    assert predict_file(path, ROWS, second, stamp=STAMP)
    assert first.asked == ["a", "b"]
    assert second.asked == ["c", "d"]
    assert [(row["id"], row["response"]) for row in read(path)] == [
        (name, f"about {name}") for name in ("b", "a", "d", "c")
    ]
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]


def test_a_finished_file_is_used_again_and_asks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    predict_file(path, ROWS, Model(), stamp=STAMP)
    again = Model()
    assert not predict_file(path, ROWS, again, stamp=STAMP)
    assert not again.asked


@pytest.mark.parametrize("change", [{"checkpoint": "c2"}, {"prompt_hash": "p2"}])
@pytest.mark.parametrize("killed", [True, False])
def test_answers_of_another_model_or_prompt_are_never_mixed_in(tmp_path, change, killed) -> None:
    path = tmp_path / "x.jsonl"
    old = Model(dies_after=2 if killed else None, **change)
    if killed:
        with pytest.raises(KeyboardInterrupt):
            predict_file(path, ROWS, old, stamp={**STAMP, **change})
    else:
        predict_file(path, ROWS, old, stamp={**STAMP, **change})
    new = Model()
    assert predict_file(path, ROWS, new, stamp=STAMP)
    assert new.asked == ["a", "b", "c", "d"]
    assert {(row["checkpoint"], row["prompt_hash"]) for row in read(path)} == {("c1", "p1")}


def test_more_rows_than_before_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    predict_file(path, ROWS[:2], Model(), stamp=STAMP)
    assert predict_file(path, ROWS, Model(), stamp=STAMP)
    assert [row["id"] for row in read(path)] == ["b", "a", "d", "c"]
