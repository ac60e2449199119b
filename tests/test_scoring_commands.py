"""What README and docs print about scoring from files runs, on small files."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from affect_mllm.eval.read.verdicts import answer_hash
from affect_mllm.tools import app
from scripts.readme import ROOT, commands
from tests.eval.emotion_wheel.test_own import published
from tests.eval.runs import make_run
from tests.recipes.kit import SUBSET, table
from tests.recipes.makers.meld import MELD_COLUMNS

__all__ = ["published"]
RUN = r"affect-mllm (score|compare|board|report)|python data_recipes/\S+ .*--labels-only"
PAGES = {
    page.name: [each for each in commands(page) if re.match(RUN, each)]
    for page in (
        ROOT / "README.md",
        *(ROOT / "docs" / f"{name}.md" for name in ("evaluation", "other_models", "numbers")),
    )
}
EMOTIONS = ("neutral", "joy", "anger", "surprise", "sadness", "fear")


def jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the pages name, as their publishers and other models would leave them."""
    shutil.copytree(published, tmp_path / "emotion_wheel", ignore=shutil.ignore_patterns("emo*"))
    for name in ("MELD", "MELD.Raw"):
        for at, split in enumerate(("train", "dev", "test")):
            rows = [[i, "Oh!", "Ann", e, "neutral", at, i, 8, 21, "", ""]
                    for i, e in enumerate(EMOTIONS)]  # fmt: skip
            table(tmp_path / name / f"{split}_sent_emo.csv", MELD_COLUMNS, *rows)
    ids = [f"test_dia2_utt{i}" for i in range(len(EMOTIONS))]
    said = [{"id": id, "response": "joy"} for id in ids]
    jsonl(tmp_path / "predictions.jsonl", said)
    jsonl(tmp_path / "p.jsonl", said)
    jsonl(tmp_path / "ours.jsonl", [{**row, "prompt_hash": "a", "checkpoint": "b"} for row in said])
    both = [{"emotion": e, "description": f"It is {e}."} for e in EMOTIONS]
    rows = [{"id": id, "split": "test", "labels_only": True, "labels": each}
            for id, each in zip(ids, both, strict=True)]  # fmt: skip
    jsonl(tmp_path / "m.jsonl", rows)
    jsonl(tmp_path / "manifest.jsonl", rows)
    table(tmp_path / "theirs.csv", ["utterance", "output"],
          *([id.removeprefix("test_"), "sadness"] for id in ids))  # fmt: skip
    dfew = [{"id": f"0000{i}", "split": "test", "labels_only": True,
             "labels": {"emotion": "sad", "fold": i}} for i in (1, 2)]  # fmt: skip
    for at, row in enumerate(dfew, start=1):
        jsonl(tmp_path / f"fold{at}.jsonl", [row])
    jsonl(tmp_path / "all.jsonl", [{"id": row["id"], "response": "sad"} for row in dfew])
    judge = {"judge": "j", "rubric": "emer 1", "prompt_hash": "c", "answer": answer_hash("joy")}
    scores = {"clue_overlap": 5, "label_overlap": 6}
    jsonl(tmp_path / "p.emer.verdicts.jsonl", [{"id": id, "scores": scores, **judge} for id in ids])
    (tmp_path / "scored").mkdir()
    for name in ("outputs/meld", "outputs/other", "outputs/demo", "outputs/own_clips"):
        shutil.copytree(make_run(tmp_path / "scored"), tmp_path / name)
    path = tmp_path / "outputs/demo/corpus/manifest.jsonl"
    labels = [{**row, "labels": {"emotion": "happy"}} for row in rows]
    jsonl(path, labels)
    jsonl(tmp_path / "outputs/demo/eval/synthetic/face.predictions.jsonl", said)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "data_recipes")
    return tmp_path


def ran(command: str) -> int:
    words = shlex.split(command)
    if words[0] == "python":  # of the publisher's thousands of rows a few
        recipe = importlib.import_module(Path(words[1]).stem).APP
        return CliRunner().invoke(recipe, [*words[2:], SUBSET]).exit_code
    with pytest.raises(SystemExit) as leave:
        app.main(words[1:])
    return int(leave.value.code or 0)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_run_in_order(
    page: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in PAGES[page]:
        assert ran(command) == 0, f"{command}\n{capsys.readouterr().err}"
    made = {
        "README.md": ["runs/theirs/log.jsonl"],
        "evaluation.md": ["runs/compared/compare.html"],
        "other_models.md": ["runs/compared/compare.html", "runs/board/board.md"],
        "numbers.md": [],
    }
    assert len(PAGES[page]) >= 2
    assert all((folder / name).is_file() for name in made[page])
