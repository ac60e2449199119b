"""The real command killed from outside: what it wrote is enough to end at the same weights."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path

import pytest

from affect_mllm.models import checkpoint
from affect_mllm.train.main import main
from affect_mllm.types import ExitCode
from tests.processes import finished, started, wait_until

STAGES = ("align", "emotion", "instruct")
# Long enough that a signal sent after the first checkpoint comes before the end of the stage.
MANY = [f"stages.{stage}.{key}" for stage in STAGES[::2] for key in ("steps=20", "save_every=2")]


def overrides(tiny, folder: Path, *more: str) -> list[str]:
    return tiny.overrides(folder, *MANY, "model.llm.lora.lora_dropout=0.3", *more)


def weights(folder: Path, stage: str) -> bytes:
    return (folder / stage / "final" / checkpoint.WEIGHTS).read_bytes()


def saved(stage: Path) -> bool:
    return any(stage.glob("step-*[0-9]"))


def steps(stage: Path) -> list[int]:
    return [json.loads(x)["step"] for x in (stage / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def straight(tiny, tmp_path_factory) -> Path:
    """All stages without a break, in this process."""
    folder = tmp_path_factory.mktemp("straight")
    assert main(overrides(tiny, folder)) == ExitCode.DONE
    return folder


def test_a_run_killed_and_later_asked_to_stop_ends_at_the_same_bytes(
    tiny, straight, tmp_path
) -> None:
    command = ["train.py", *overrides(tiny, tmp_path)]
    first, last = STAGES[0], STAGES[-1]
    with started(command) as process:
        wait_until(process, partial(saved, tmp_path / first))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / first / "final").exists(), "killed in the middle of the stage"
    assert json.loads((tmp_path / "status.json").read_text())["resumable"]

    with started(command) as process:
        wait_until(process, partial(saved, tmp_path / last))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=600)
    assert process.returncode == ExitCode.STOPPED == 75, said
    assert f"stage {first}: goes on after step" in said
    status = json.loads((tmp_path / "status.json").read_text())
    assert status == {"state": "stopped", "resumable": True}
    assert not (tmp_path / last / "final").exists(), "stopped in the middle of the stage"

    code, said = finished(command)
    assert code == ExitCode.DONE, said
    assert f"stage {last}: goes on after step" in said
    for stage in STAGES:
        assert weights(tmp_path, stage) == weights(straight, stage)
        assert steps(tmp_path / stage) == steps(straight / stage)
        assert sorted(p.name for p in (tmp_path / stage).iterdir()) == ["final", "metrics.jsonl"]
