"""What docs print about asking and judging runs, on a tiny checkpoint and a server of its own."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from affect_mllm.eval.main import main
from affect_mllm.tools import app
from affect_mllm.types import ExitCode
from scripts.readme import ROOT, published
from tests import tiny_vlm
from tests.eval.server import served
from tests.processes import finished
from tests.published import LAUNCHERS

ASKING = r"(torchrun .*)?(python )?eval\.py |affect-mllm (judge|extract) "
PAGES = [ROOT / "docs/evaluation.md", ROOT / "docs/other_models.md"]
PUBLISHED = [each for each in published(PAGES) if re.match(ASKING, each)]
EMOTIONS = {"dfew": ("happy", "sad", "angry"), "meld_closed": ("joy", "sadness", "anger")}
SHORT = ["max_new_tokens=2", "batch_size=4", "workers=0"]
WRITTEN = ({"emer.verdicts.jsonl", "emer.replies.jsonl"}, {"jsonl", "replies.jsonl"})
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.fixture(scope="module")
def manifests(tiny) -> dict[str, Path]:
    """By benchmark the tiny corpus with labels of its classes, each clip a group."""
    found = {}
    for name, emotions in EMOTIONS.items():
        found[name] = tiny.root / f"{name}.jsonl"
        lines = (tiny.root / "manifest.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines][3:9]
        for at, row in enumerate(rows):
            labels = {"emotion": emotions[at % len(emotions)], "fold": 1 + at % 2}
            row |= {"split": "test", "group": row["id"], "labels": labels}
        found[name].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return found


@pytest.fixture(scope="module")
def vlm(tiny, tmp_path_factory) -> Path:
    return tiny_vlm.with_chat(tiny, tmp_path_factory.mktemp("vlm"))


def test_all_forms_of_asking_are_here() -> None:
    said = " ".join(PUBLISHED)
    for part in ("subsets=", "swaps=", "answer_by=", "variants=", "repeats=", "torchrun", "judge",
                 "model=hf", "model=endpoint", "prices=", "decoding="):  # fmt: skip
        assert part in said


@pytest.mark.parametrize("command", [each for each in PUBLISHED if "eval.py" in each])
def test_a_command_that_asks_runs(
    command: str, tiny_run: Path, manifests: dict[str, Path], vlm: Path, tmp_path: Path
) -> None:
    words = shlex.split(LAUNCHERS.sub("python ", command))[2:]
    benchmark = next(word for word in words if word.startswith("benchmark=")).split("=")[1]
    rows = manifests.get(benchmark, manifests["dfew"])
    here = {"checkpoint": tiny_run / "instruct/final", "manifest": rows,
            "run_dir": tmp_path / "run", "baseline.model": vlm, "model.model": vlm}  # fmt: skip
    given = dict(word.split("=", 1) for word in words)
    asks_server = given.get("model") == "endpoint"
    prices = tmp_path / "prices.yaml"
    prices.write_text("NAME: {in: 0.15, out: 0.6}\n")
    with served(lambda request, number: (200, "happy")) as seen:
        if asks_server:
            here |= {"model.url": seen.url, "model.model": "NAME", "prices": prices}
        told = [f"{key}={here.get(key, value)}" for key, value in given.items()]
        told += [f"run_dir={tmp_path / 'run'}"] if "run_dir" not in given else []
        if command.startswith("torchrun"):
            code, said = finished([*TWO, "eval.py", *told, *SHORT])
            assert code == 0, said
        else:
            assert main([*told, *SHORT]) == ExitCode.DONE
    assert bool(seen.requests) == asks_server
    run = json.loads((tmp_path / "run/results.json").read_text())["runs"][benchmark]
    assert run["n"] == 6
    assert bool(run["wordings"]) == ("variants" in given)
    assert bool(run["repeats"]) == ("repeats" in given)
    assert bool(run["followed"]) == ("swaps" in given)


@pytest.mark.parametrize("command", [each for each in PUBLISHED if "affect-mllm" in each])
def test_a_command_that_judges_runs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": f"r{n}", "labels_only": True, "group": f"g{n}",
             "labels": {"emotion": "sad", "emotions": ["sad"], "description": "She is sad."}}
            for n in range(3)]  # fmt: skip
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = [{"id": row["id"], "response": f"{row['id']}: she frowns."} for row in rows]
    said = "".join(json.dumps(answer) + "\n" for answer in answers)
    (tmp_path / "p.jsonl").write_text(said)
    monkeypatch.chdir(tmp_path)
    reply = json.dumps({"clue_overlap": 3, "label_overlap": 7, "labels": ["sad"]})
    before = {*tmp_path.iterdir()}
    with served(lambda request, number: (200, reply)) as seen:
        words = shlex.split(command.replace("http://localhost:8000/v1", seen.url))
        with pytest.raises(SystemExit) as leave:
            app.main(words[1:])
    assert not leave.value.code
    assert len(seen.requests) == 3
    made = {*tmp_path.iterdir()} - before
    assert {path.name.split(".", 1)[1] for path in made if path.suffix == ".jsonl"} in WRITTEN
    assert {len(path.read_text().splitlines()) for path in made} == {3}, "a row of each answer"
