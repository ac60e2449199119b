"""Several runs by `-m`, and what sums them up."""

from __future__ import annotations

import json

import pytest

from affect_mllm.models import checkpoint
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
    with pytest.raises(ConfigError, match="command line"):
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
