"""The performance suite: its rows, what it calls worse, and a page that says what its JSON does."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from affect_mllm.train.watch.pace import Pace

ROOT = Path(__file__).parents[1]
HELPERS = {"another_version", "machine", "measured", "suite", "train_chats", "train_contenders"}
# What is no ratio to an alternative: a check, a table of sizes, records of others, a look at lists.
NO_RATIO = {"emotion_wheel", "fits", "lengths", "manifest", "overfit", "probing", "record_trl",
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


def test_each_part_names_the_commit_that_it_was_measured_at(suite: Any) -> None:
    """Its form alone: a clone may not have it."""
    kept = json.loads(suite.KEPT.read_text(encoding="utf-8"))
    assert all(re.fullmatch("[0-9a-f]{7,40}", one["commit"]) for one in kept.values())


def test_a_run_of_one_prints_its_rows_and_writes_nothing(suite: Any) -> None:
    before = suite.KEPT.read_bytes(), suite.TABLE.read_bytes()
    command = [sys.executable, ROOT / "benchmarks/suite.py", "--quick", "--only", "ranks"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| imbalance of 64 ranks | clips dealt by turns |" in done.stdout
    assert (suite.KEPT.read_bytes(), suite.TABLE.read_bytes()) == before


def test_what_compiles_is_no_counted_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The step whose FLOPs are counted compiles nothing, so the one after it does."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setattr(torch._dynamo.callback.callback_handler, "end_callbacks", [])
    contenders = importlib.import_module("train_contenders")
    metrics, pace = tmp_path / "metrics.jsonl", Pace(torch.device("cpu"), None)
    contenders.note_compiling(metrics, tmp_path / "compiled.0")
    layer = torch.nn.Linear(4, 4)
    layer.compile(dynamic=True, backend="aot_eager")
    until = []
    for step, dtype in enumerate((torch.float32,) * 4 + (torch.float64,) * 2, 1):
        with pace.watching():
            layer.to(dtype)(torch.ones(step + 1, 4, dtype=dtype)).sum().backward()
        pace.per_token = 1.0
        with metrics.open("a") as stream:
            stream.write("{}\n")
        until.append(contenders.compiled_until(tmp_path, 1))
    assert until == [0, 2, 2, 2, 5, 5]
    (tmp_path / "compiled.1").write_text("5")
    assert contenders.compiled_until(tmp_path, 2) == 7, "the other rank's step may be the next one"


@dataclass
class Measured:
    """A repository with the suite's page and one benchmark, whose ratio a file says."""

    suite: Any
    root: Path

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        command = ["git", *who, *words]
        return subprocess.run(
            command, cwd=self.root, check=True, capture_output=True, text=True
        ).stdout

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def kept(self) -> Any:
        return json.loads((self.root / "docs/performance.json").read_text())

    def commit(self, ratio: str) -> str:
        """Set the ratio, commit all, and say the commit."""
        self.write("ratio.txt", ratio)
        self.git("add", ".")
        self.git("commit", "-qm", ratio)
        return self.git("rev-parse", "--short", "HEAD").strip()


SCRIPT = """import json, os, pathlib
root = pathlib.Path(__file__).parents[1]
ratio = float((root / "ratio.txt").read_text())
row = {"what": "a", "against": "b", "ratio": ratio, "low": ratio, "high": ratio, "n": 1}
found = json.dumps([{**row, "better": "lower"}])
pathlib.Path(os.environ["AFFECT_BENCHMARK_ROWS"]).write_text(found)
"""


@pytest.fixture
def measured(suite: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measured:
    made = Measured(suite, tmp_path)
    made.git("init", "-q")
    made.write("benchmarks/one.py", SCRIPT)
    made.write("docs/performance.md", f"{suite.BEGIN}\n{suite.END}\n")
    for name in ("ROOT", "TABLE", "KEPT"):
        path = tmp_path / getattr(suite, name).relative_to(ROOT)
        monkeypatch.setattr(suite, name, path)
    monkeypatch.setattr(suite, "ENTRIES", {"one": suite.Entry("One", quick=())})
    monkeypatch.setattr(sys, "argv", ["suite.py", "--only", "one"])
    return made


def test_a_figure_that_got_worse_is_named_with_both_commits(measured: Measured, capfd) -> None:
    """The page that the first run wrote is no change of the tree for the second."""
    first = measured.commit("1.0")
    assert measured.suite.main() == 0
    assert measured.kept()["one"]["commit"] == first
    assert "| a | b | 1 |" in (measured.root / "docs/performance.md").read_text()
    capfd.readouterr()
    second = measured.commit("1.5")
    assert measured.suite.main() == 1
    said = capfd.readouterr().out
    assert f"worse: one, a ÷ b: 1.5 (1.5 to 1.5), was 1 (1 to 1) at {first}" in said
    assert (measured.kept()["one"]["commit"], measured.kept()["one"]["rows"][0]["ratio"]) == (
        second,
        1.5,
    )
    assert measured.suite.main() == 0


@pytest.mark.parametrize("name", ["ratio.txt", "benchmarks/new.py"])
def test_a_tree_that_differs_from_its_commit_is_not_measured(measured, name, capfd) -> None:
    measured.commit("1.0")
    measured.write(name, "2.0")
    assert measured.suite.main() == 2
    said = capfd.readouterr()
    assert "== one" not in said.out
    assert name in said.err
    assert not (measured.root / "docs/performance.json").exists()
    sys.argv.append("--quick")
    assert measured.suite.main() == 0
    assert not (measured.root / "docs/performance.json").exists()


@pytest.mark.parametrize("change", ["(root / 'ratio.txt').write_text('3')",
                                    "os.system('git checkout -q HEAD~1')"])  # fmt: skip
def test_what_was_measured_while_the_files_changed_is_not_kept(measured, change, capfd) -> None:
    measured.write("benchmarks/one.py", f"{SCRIPT}os.chdir(root)\n{change}\n")
    measured.commit("0.9")
    measured.commit("1.0")
    assert measured.suite.main() == 1
    assert "one is not kept" in capfd.readouterr().out
    assert not (measured.root / "docs/performance.json").exists()


def test_a_tree_without_git_names_no_commit(
    measured: Measured, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    measured.write("ratio.txt", "1.0")
    shutil.rmtree(measured.root / ".git")
    assert measured.suite.main() == 2
    assert "no git" in capfd.readouterr().err
    monkeypatch.setenv("PATH", str(measured.root))  # and no program of that name
    assert measured.suite.main() == 2
    assert "no git" in capfd.readouterr().err


def test_a_benchmark_that_fails_is_named(suite: Any, tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/broken.py").write_text("raise SystemExit(3)\n")
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    monkeypatch.setattr(suite, "ENTRIES", {"broken": suite.Entry("Broken")})
    monkeypatch.setattr(sys, "argv", ["suite.py", "--quick", "--only", "broken"])
    assert suite.main() == 1
    assert "broken failed" in capsys.readouterr().out
