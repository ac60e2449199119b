"""`affect-mllm tiny`: what it prints is typed in, word for word."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from affect_mllm.models.tiny.weights import WEIGHTS, architecture, tiny_timm
from affect_mllm.tools.app import main
from affect_mllm.types import CheckpointError, ExitCode


def call(*words: str) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tiny") / "a folder"


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in text.splitlines() if line.startswith("  affect-mllm ")]


def typed(words: Sequence[str]) -> str:
    """What a command prints, run as a process of its own; on stderr is nothing but ours."""
    run = "from affect_mllm.tools.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", run, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.DONE, done.stderr
    ours = re.compile(
        r"warning: c\d+: |features: |stage \w+: |own_clips, |scores: |$|"
        r"against a linear probe |the model is below the probe|"
        r"(face|audio|text|majority|probe)\S* +(accuracy |\d+ answers, )"
    )
    assert [line for line in done.stderr.splitlines() if not ours.match(line)] == []
    return done.stdout


def test_the_printed_commands_train_evaluate_and_predict(made: Path) -> None:
    train, evaluate, predict = commands(typed(["tiny", str(made)]))
    typed(train[1:])
    typed(evaluate[1:])
    assert json.loads(typed([*predict[1:], "--json"]))["modalities"]
    results = json.loads((made / "eval/results.json").read_text())
    assert results["benchmark"] == "own_clips"
    assert results["n"] == 4


def test_another_experiment_finds_the_same_clips_and_its_own_weights(made: Path, capsys) -> None:
    assert call("tiny", str(made)) == ExitCode.DONE
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}
    assert call("tiny", str(made), "--experiment", "emotion_qwen") == ExitCode.DONE
    assert len(commands(capsys.readouterr().out)) == 6
    changed = {p for p, at in before.items() if p.stat().st_mtime_ns != at}
    assert not changed
    weights = {path.name for path in (made / "weights").iterdir()}
    assert {"smollm2-135m-instruct", "Qwen_Qwen2.5-VL-7B-Instruct"} <= weights


def test_an_experiment_that_does_not_exist_leaves_nothing(tmp_path: Path, capsys) -> None:
    assert call("tiny", str(tmp_path / "x"), "--experiment", "demon") == ExitCode.USAGE
    assert "demon" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_folder_that_a_killed_command_left_is_filled(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    settings = tiny_timm("timm/efficientnet_b0", tmp_path / "weights")
    assert (Path(settings["model"]) / WEIGHTS).is_file()


def test_a_name_tells_an_architecture_and_one_that_does_not_is_refused(tmp_path: Path) -> None:
    told = {
        "Qwen/Qwen2.5-VL-7B-Instruct": "qwen2_5_vl",
        "google/siglip2-so400m-patch14-384": "siglip",
        "TencentGameMate/chinese-hubert-large": "hubert",
        "asset:smollm2-135m-instruct": "llama",
    }
    assert {name: architecture(name) for name in told} == told
    (tmp_path / "config.json").write_text('{"model_type": "wavlm"}')
    assert architecture(str(tmp_path)) == "wavlm"
    with pytest.raises(CheckpointError, match="tells no architecture"):
        architecture("someone/own-weights")
