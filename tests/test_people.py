"""`scripts/people.sh` calls the real commands by their real names, fold by fold."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from affect_mllm import config
from affect_mllm.tools.app import COMMANDS
from tests.published import understood

ROOT = Path(__file__).resolve().parents[1]
# Stands for python and affect-mllm: writes down what it was called with, and an answer's file.
STAND_IN = """#!/usr/bin/env bash
set -euo pipefail
printf '%q ' "$(basename "$0")" "$@" >> "$CALLS"; echo >> "$CALLS"
for word in "$@"; do
    case $word in run_dir=*) run=${word#run_dir=} ;; esac
done
if [[ ${1:-} == eval.py ]]; then
    mkdir -p "$run/eval/own_clips"
    own="$run/eval/own_clips"
    printf '{"checkpoint": "%s", "of": "%s"}\\n' "$run" "$run" > "$own/audio.predictions.jsonl"
    echo "probe of $run" > "$run/eval/own_clips/probe.predictions.jsonl"
fi
"""


@pytest.fixture
def calls(tmp_path) -> list[list[str]]:
    for name in ("python", "affect-mllm"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(STAND_IN)
        (tmp_path / "bin" / name).chmod(0o755)
    told = {"BIN": str(tmp_path / "bin"), "CALLS": str(tmp_path / "calls"), "SEED": "7"}
    words = ["bash", "scripts/people.sh", str(tmp_path / "emodb"), str(tmp_path / "out")]
    subprocess.run(words, check=True, cwd=ROOT, env={**os.environ, **told})
    return [shlex.split(line) for line in (tmp_path / "calls").read_text().splitlines()]


def test_every_fold_is_trained_and_asked_and_all_are_scored_together(calls, tmp_path) -> None:
    scripts = [words[1] for words in calls if words[0] == "python"]
    one = ["data_recipes/emodb.py", "train.py", "eval.py", "eval.py"]
    assert scripts == one * 5
    assert all((ROOT / script).is_file() for script in one)
    own = [words[1:] for words in calls if words[0] == "affect-mllm"]
    assert [words[0] for words in own] == ["score", "score", "score", "compare"]
    assert all(words[0] in COMMANDS for words in own)
    assert all(words.count("--manifest") == 5 for words in own[:3])
    for way in ("head", "likelihood"):
        told = (tmp_path / "out" / f"{way}.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in told]
        assert [row["of"] for row in found] == [
            f"{tmp_path}/out/fold{n}/{way}" for n in range(1, 6)
        ]
        assert {row["checkpoint"] for row in found} == {"five folds"}, "as score wants it"
    assert len((tmp_path / "out/probe.jsonl").read_text().splitlines()) == 5


def test_what_it_asks_for_is_known(calls, tmp_path) -> None:
    for words in calls:
        if words[:2] == ["python", "train.py"]:
            cfg = config.checked(config.compose("train", words[2:]))
            assert (cfg.seed, list(cfg.stages)) == (7, ["perceive", "instruct"])
        elif words[0] == "affect-mllm":
            understood(shlex.join(words))
        if words[:2] == ["python", "eval.py"]:
            cfg = config.compose("eval", words[2:])
            assert cfg.subsets == ["audio"]
            assert cfg.answer_by in ("head", "likelihood")
