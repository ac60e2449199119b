"""`scripts/people.sh` calls the real commands by their real names, and each part once."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from affect_mllm import config
from affect_mllm.eval.own_labels import OwnLabels
from affect_mllm.tools.app import COMMANDS
from tests.published import understood

ROOT = Path(__file__).resolve().parents[1]
# Stands for python and affect-mllm: writes down what it was called with, and an answer's file.
STAND_IN = """#!/usr/bin/env bash
set -euo pipefail
[[ "$*" == *"${REFUSES:-nothing at all}"* ]] && exit 3
printf '%q ' "$(basename "$0")" "$@" >> "$CALLS"; echo >> "$CALLS"
for word in "$@"; do
    case $word in run_dir=*) run=${word#run_dir=} ;; esac
    case $word in subsets=*) seen=${word#subsets=[} ;; esac
done
if [[ ${1:-} == eval.py ]]; then
    own="$run/eval/own_clips"
    mkdir -p "$own"
    printf '{"checkpoint": "%s", "of": "%s"}\\n' "$run" "$run" > "$own/${seen%]}.predictions.jsonl"
    echo "probe of $run" > "$own/probe.predictions.jsonl"
fi
"""
Calls = list[list[str]]


def run(folder: Path, **told: str) -> Calls:
    """What `people.sh` has called so far, after it ran once more."""
    for name in ("python", "affect-mllm"):
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin" / name).write_text(STAND_IN)
        (folder / "bin" / name).chmod(0o755)
    for part in ("meld", "emodb", "aeb"):
        (folder / "data" / part).mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "BIN": str(folder / "bin"), "CALLS": str(folder / "calls"), **told}
    words = ["bash", "scripts/people.sh", str(folder / "data"), str(folder / "out")]
    done = subprocess.run(words, check=False, cwd=ROOT, env=env)
    assert done.returncode == (3 if "REFUSES" in told else 0)
    return [shlex.split(line) for line in (folder / "calls").read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("people")


@pytest.fixture(scope="module")
def calls(folder: Path) -> Calls:
    return run(folder, SEEDS="7")


def test_every_part_is_made_trained_and_asked(calls: Calls) -> None:
    scripts = [words[1] for words in calls if words[0] == "python"]
    one = ["data_recipes/emodb.py", "train.py", "eval.py", "eval.py"]
    meld = ["data_recipes/meld.py", "train.py", "eval.py", "train.py", "eval.py"]
    aeb = ["data_recipes/aeb.py", "train.py", *["eval.py"] * 7]
    assert scripts == [*meld, *one * 5, *aeb]
    own = [words[1] for words in calls if words[0] == "affect-mllm"]
    assert set(own) <= set(COMMANDS)
    assert own.count("report") == 2


def test_the_folds_of_voices_are_scored_together(calls: Calls, folder: Path) -> None:
    scored = [words for words in calls if words.count("--manifest") == 5]
    assert [words[1] for words in scored] == ["score"] * 3
    voices = folder / "out/emodb/seed7"
    for way in ("head", "likelihood"):
        found = [json.loads(line) for line in (voices / f"{way}.jsonl").read_text().splitlines()]
        assert [row["of"] for row in found] == [f"{voices}/fold{n}/{way}" for n in range(1, 6)]
        assert {row["checkpoint"] for row in found} == {"five folds"}, "as score wants it"
    assert len((voices / "probe.jsonl").read_text().splitlines()) == 5


def test_what_it_asks_for_is_known(calls: Calls) -> None:
    stages, asked = [], []
    for words in calls:
        if words[:2] == ["python", "train.py"]:
            cfg = config.checked(config.compose("train", words[2:]))
            assert cfg.seed == 7
            stages.append([*cfg.stages])
        elif words[0] == "affect-mllm":
            understood(shlex.join(words))
        elif words[1] == "eval.py":
            cfg = config.compose("eval", words[2:])
            assert isinstance(config.build(cfg.benchmark), OwnLabels)
            asked.append((cfg.benchmark.truth, cfg.benchmark.question))
    assert stages == [["words"]] * 2 + [["perceive", "instruct"]] * 5 + [["words"]]
    assert len(set(asked)) == 2 + 1 + 7


def test_the_questions_are_those_that_were_learnt(calls: Calls) -> None:
    """In the YAML of the data, with the ends of a scale in their places."""
    learnt = set()
    for name in ("meld_words", "meld_turns", "aeb"):
        cfg = config.compose("train", ["experiment=people", f"data={name}", "data.manifest=x"])
        for each in cfg.data.instructions.values():
            low, high = each.get("scale") or ("", "")
            filled = (each.questions[0].replace("{low}", str(low)), str(high))
            learnt.add(filled[0].replace("{high}", filled[1]))
    asked = {
        config.compose("eval", words[2:]).benchmark.question
        for words in calls
        if words[1] == "eval.py" and "subsets=[text]" in words
    }
    assert asked == learnt


def test_what_is_done_is_not_done_again(calls: Calls, folder: Path) -> None:
    assert run(folder, SEEDS="7") == calls
    again = run(folder, SEEDS="7 8")
    assert len(again) == 2 * len(calls)


def test_a_part_that_failed_is_taken_up_and_no_other(tmp_path: Path) -> None:
    first = run(tmp_path, SEEDS="1", REFUSES="data=aeb")
    assert not any("data=aeb" in words for words in first)
    more = run(tmp_path, SEEDS="1")[len(first) :]
    assert [words[1] for words in more[:2]] == ["data_recipes/aeb.py", "train.py"]
    assert not any("meld" in " ".join(words) for words in more)


def test_a_folder_with_none_of_them_is_refused(tmp_path: Path) -> None:
    words = ["bash", "scripts/people.sh", str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(words, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "none of meld, emodb and aeb" in done.stderr
