"""Several runs by `-m`, and what sums them up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from affect_mllm.models import checkpoint
from affect_mllm.tools.spread import runs_in
from affect_mllm.tools.train import main
from affect_mllm.train.multirun import combinations
from affect_mllm.types import ConfigError, ExitCode


def test_every_combination_in_hydras_order() -> None:
    jobs = combinations(["experiment=demo", "seed=1,2", "a.b=range(3,5)", "c=[1,2]"])
    assert [swept for swept, _ in jobs] == [
        ["seed=1", "a.b=3"],
        ["seed=1", "a.b=4"],
        ["seed=2", "a.b=3"],
        ["seed=2", "a.b=4"],
    ]
    assert jobs[0][1] == ["experiment=demo", "seed=1", "a.b=3", "c=[1,2]"]


@pytest.mark.parametrize("given", [["seed=1"], []])
def test_nothing_to_sweep_is_refused(given) -> None:
    with pytest.raises(ConfigError, match="seed=1,2,3"):
        combinations(given)


def test_a_broken_override_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"a=\[1: (.|\n)*type "):
        combinations(["seed=1,2", "a=[1"])


def test_seeds_are_runs_of_their_own_and_the_same_command_uses_them_again(tiny, tmp_path) -> None:
    command = ["-m", *tiny.overrides(tmp_path, "~stages.align", "~stages.emotion", "seed=1,2")]
    assert main(command) == ExitCode.DONE
    folders = sorted(path.name for path in tmp_path.iterdir())
    assert folders == ["seed=1", "seed=2"]
    finals = [tmp_path / name / "instruct/final" for name in folders]
    assert [checkpoint.read_meta(final)["seed"] for final in finals] == [1, 2]
    before = [checkpoint.checkpoint_hash(final) for final in finals]
    assert before[0] != before[1]
    stamps = [final.stat().st_mtime_ns for final in finals]
    assert main(command) == ExitCode.DONE
    assert [final.stat().st_mtime_ns for final in finals] == stamps
    assert json.loads((tmp_path / "seed=1/status.json").read_text())["state"] == "done"


def test_without_a_run_dir_a_sweep_has_a_folder_beside_a_single_runs(
    tiny, tmp_path, monkeypatch
) -> None:
    """A single run's folder has a status of its own, and `spread` would take it for one run."""
    given = [text for text in tiny.overrides(tmp_path) if not text.startswith("run_dir=")]
    monkeypatch.chdir(tmp_path)
    short = [*given, "~stages.align", "~stages.emotion", "stages.instruct.steps=1"]
    assert main(short) == ExitCode.DONE
    assert main(["-m", *short, "seed=1,2"]) == ExitCode.DONE
    runs = runs_in([Path("outputs/demo/sweep")])
    assert [run.name for run in runs] == ["seed=1", "seed=2"]


def test_a_sweep_into_a_runs_own_folder_is_refused(tiny, tmp_path) -> None:
    (tmp_path / "status.json").write_text('{"state": "done"}')
    with pytest.raises(ConfigError, match=r"is a run itself(.|\n)*another run_dir"):
        main(["-m", *tiny.overrides(tmp_path), "seed=1,2"])
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
