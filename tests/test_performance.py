"""The performance suite: its rows, what it calls worse, and a page that says what its JSON does."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
HELPERS = {"another_version", "machine", "measured", "suite", "train_chats", "train_contenders"}
# What is no ratio to an alternative: a check, a table of sizes, records of others, a look at lists.
NO_RATIO = {"emotion_wheel", "fits", "lengths", "manifest", "overfit", "record_trl",
            "reinforce_words", "rollouts", "sharding", "step_ops",
            "summarise", "word_list"}  # fmt: skip


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("suite")


def row(suite: Any, *ratios: float, better: str = "lower") -> Any:
    return suite.Row.of("what", "against", ratios, better)


def test_every_script_is_in_the_suite_or_said_to_have_no_ratio(suite: Any) -> None:
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert scripts == {*suite.ENTRIES, *HELPERS, *NO_RATIO}
    for name in suite.ENTRIES:
        assert "report(" in (ROOT / f"benchmarks/{name}.py").read_text(), name


@pytest.mark.parametrize(
    ("before", "after", "better", "worse"),
    [
        ((1.0, 1.1, 1.2), (1.25, 1.3, 1.35), "lower", False),  # 0.2, and the range is as wide
        ((1.0, 1.1, 1.2), (1.3, 1.35, 1.4), "lower", True),
        ((1.0, 1.1, 1.2), (0.5, 0.6, 0.7), "lower", False),  # better
        ((4.0, 4.1, 4.2), (3.0, 3.8, 4.6), "higher", False),  # as uncertain as that
        ((4.0, 4.1, 4.2), (3.4, 3.5, 3.6), "higher", True),
        ((0.5,), (0.5,), "lower", False),
        ((0.5,), (0.6,), "lower", True),  # what does not vary may not change
    ],
)
def test_worse_is_by_more_than_the_ranges(suite: Any, before, after, better, worse) -> None:
    now, earlier = row(suite, *after, better=better), row(suite, *before, better=better)
    assert now.is_worse_than(earlier) is worse


def test_only_the_same_row_of_a_machine_like_it_is_compared(suite: Any) -> None:
    def kept(ratio: float, machine: str, what: str = "what") -> Any:
        one = {"what": what, "against": "a", "ratio": ratio, "low": ratio, "high": ratio, "n": 1}
        of = {"machine": machine, "commit": "c0ffee", "seconds": 1}
        return {"ranks": {**of, "rows": [{**one, "better": "lower"}]}}

    (said,) = suite.worse(kept(1.0, "one"), kept(2.0, "one"))
    assert "ranks, what ÷ a: 2" in said
    assert "was 1" in said
    assert "c0ffee" in said
    assert list(suite.worse(kept(1.0, "one"), kept(2.0, "another"))) == []
    assert list(suite.worse(kept(1.0, "one"), kept(2.0, "one", "more"))) == []
    assert list(suite.worse({}, kept(2.0, "one"))) == []


def test_the_page_says_what_its_json_does(suite: Any) -> None:
    kept = json.loads(suite.KEPT.read_text(encoding="utf-8"))
    page = suite.TABLE.read_text(encoding="utf-8")
    said = page.split(suite.BEGIN)[1].split(suite.END)[0]
    assert said.strip("\n") == "\n".join(suite.table(kept))
    assert all("dirty" not in one["commit"] for one in kept.values())


def test_a_run_of_one_prints_its_rows_and_writes_nothing(suite: Any) -> None:
    before = suite.KEPT.read_bytes(), suite.TABLE.read_bytes()
    command = [sys.executable, ROOT / "benchmarks/suite.py", "--quick", "--only", "ranks"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| imbalance of 64 ranks | clips dealt by turns |" in done.stdout
    assert (suite.KEPT.read_bytes(), suite.TABLE.read_bytes()) == before


def test_a_benchmark_that_fails_is_named(suite: Any, tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/broken.py").write_text("raise SystemExit(3)\n")
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    monkeypatch.setattr(suite, "ENTRIES", {"broken": suite.Entry("Broken")})
    monkeypatch.setattr(sys, "argv", ["suite.py", "--quick", "--only", "broken"])
    assert suite.main() == 1
    assert "broken failed" in capsys.readouterr().out
