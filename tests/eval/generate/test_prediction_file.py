"""A file of answers: killed and taken up again, re-used, shared by several processes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from affect_mllm.eval.generate.prediction_file import predict_file, refuse_faults
from affect_mllm.eval.generate.question import Choose, batches_of
from affect_mllm.types import DataError, Sample

STAMP = {"checkpoint": "c1", "prompt_hash": "p1"}
ROWS = [Sample(name, Path(), subtitle="x") for name in ("b", "a", "d", "c")]


class Model:
    """Answers rows in another order than asked, notes what it was asked, and may be killed."""

    size = 1

    def __init__(
        self, *, dies_after: int | None = None, rows: Sequence[Sample] = ROWS, **stamp: str
    ) -> None:
        self.asked: list[str] = []
        self.dies_after, self.stamp, self.rows = dies_after, {**STAMP, **stamp}, rows

    def __call__(self, choose: Choose) -> Iterator[dict]:
        chosen = choose(batches_of(self.rows, lambda _: 0, self.size))
        for count, sample in enumerate(sample for batch in chosen for sample in batch):
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
    predict_file(path, ROWS[:2], Model(rows=ROWS[:2]), stamp=STAMP)
    assert predict_file(path, ROWS, Model(), stamp=STAMP)
    assert [row["id"] for row in read(path)] == ["b", "a", "d", "c"]


def test_a_batch_is_asked_whole_again_and_leaves_what_was_answered(tmp_path: Path) -> None:
    """In the company that it always has; an answer that is there stays as it is."""
    path = tmp_path / "x.jsonl"
    with pytest.raises(KeyboardInterrupt):
        predict_file(path, ROWS, Pairs(dies_after=3), stamp=STAMP)
    second = Pairs(again="once more ")
    assert predict_file(path, ROWS, second, stamp=STAMP)
    assert second.asked == ["c", "d"]
    assert [row["response"] for row in read(path)] == [
        "about b",
        "about a",
        "once more d",
        "about c",
    ]


class Pairs(Model):
    """It is asked in batches of two."""

    size = 2

    def __init__(self, again: str = "about ", **options: int) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.again = again

    def __call__(self, choose: Choose) -> Iterator[dict]:
        for row in super().__call__(choose):
            yield row | {"response": self.again + row["id"]}


class Torn(Model):
    """It cannot read the rows `bad`."""

    def __init__(self, *bad: str) -> None:
        super().__init__()
        self.bad = bad

    def __call__(self, choose: Choose) -> Iterator[dict]:
        for row in super().__call__(choose):
            yield row | ({"response": "", "error": "torn"} if row["id"] in self.bad else {})


def test_rows_with_errors_are_asked_for_again_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    predict_file(path, ROWS, Torn("a", "d"), stamp=STAMP)
    again = Torn("d")
    assert predict_file(path, ROWS, again, stamp=STAMP)
    assert again.asked == ["a", "d"]
    assert [(row["id"], row.get("error")) for row in read(path)] == [
        ("b", None),
        ("a", None),
        ("d", "torn"),
        ("c", None),
    ]


def test_an_error_left_by_another_process_does_not_replace_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    left = {"id": "a", **STAMP, "response": "", "error": "torn"}
    path.with_name("x.jsonl.partial.1").write_text(json.dumps(left) + "\n")
    predict_file(path, ROWS, Model(), stamp=STAMP)
    assert all("error" not in row for row in read(path))


def test_too_many_errors_end_the_run(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    predict_file(path, ROWS, Torn("a"), stamp=STAMP)
    refuse_faults(path, ROWS, 0.25)
    with pytest.raises(DataError, match=r"1 of 4 rows(.|\n)*torn"):
        refuse_faults(path, ROWS, 0.2)
    refuse_faults(path, [row for row in ROWS if row.id != "a"], 0.0)
