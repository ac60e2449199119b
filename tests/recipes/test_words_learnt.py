"""From files in their publishers' form to a scored table: MELD's turns and AEB's numbers, tiny."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.eval.main import main as evaluate
from affect_mllm.eval.question import filled
from affect_mllm.train.dry_run import take
from affect_mllm.train.run import TrainRun
from affect_mllm.types import ExitCode, Sample
from tests.recipes.kit import SUBSET, run
from tests.recipes.makers.aeb import lines
from tests.recipes.makers.meld import MELD_COLUMNS
from tests.tiny_experiments import experiment

TURNS = "Said before: {context} Emotion of {speaker}?"
EMOTIONS = ("joy", "anger", "neutral")


def learnt(tiny: Any, rows: Path, data: str) -> Path:
    """The checkpoint of `experiment=people` on these rows."""
    folder = rows.parent / "train"
    cfg = experiment(tiny, "people", folder, manifest=rows, overrides=[f"data={data}"])
    assert config.build(cfg, kind=TrainRun).run() == ExitCode.DONE
    return folder / "words/final"


def results(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))["runs"][name]


@pytest.fixture
def turns(tmp_path: Path) -> Path:
    """A manifest of two dialogues in each of MELD's three tables."""
    for split in ("train", "dev", "test"):
        with (tmp_path / f"{split}_sent_emo.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, MELD_COLUMNS, restval="1")
            table.writeheader()
            for at in range(6):
                table.writerow({"Utterance": f"Line {at}.", "Speaker": "AB"[at % 2],
                                "Emotion": EMOTIONS[at % 3], "Sentiment": "neutral",
                                "Dialogue_ID": at // 3, "Utterance_ID": at % 3})  # fmt: skip
    rows = tmp_path / "rows.jsonl"
    ran = run("meld", [str(tmp_path), SUBSET, "--words-only", "--out", str(rows)], tmp_path)
    assert ran.code == 0, ran.err
    return rows


def test_turns_are_learnt_and_asked_with_those_before(tiny, turns: Path) -> None:
    final = learnt(tiny, turns, "meld_turns")
    given = ["benchmark=own_clips", f"benchmark.question='{TURNS}'", f"checkpoint={final}",
             f"run_dir={turns.parent}", "subsets=[text]", "answer_by=likelihood"]  # fmt: skip
    assert evaluate(given) == ExitCode.DONE
    found = results(turns.parent, "own_clips")
    assert found["n"] == 6
    assert set(found["task"]["labels"]) == set(EMOTIONS)


def test_turns_are_asked_in_the_words_that_were_learnt(turns: Path) -> None:
    cfg = config.compose(
        "train", ["experiment=people", "data=meld_turns", f"data.manifest={turns}"]
    )
    (learnt,) = config.build(cfg.data).instructions.values()
    rows = {row.id: row for row in manifest.read(turns)}
    for row in rows.values():
        assert filled(TURNS, row, "t") == learnt.ask(row, np.random.default_rng(0))[0]
    said = "Said before: A: Line 0.\nB: Line 1. Emotion of A?"
    assert filled(TURNS, rows["test_dia0_utt2"], "t") == said


def test_a_dry_run_counts_the_steps_of_all_passes(tiny, turns: Path, capsys) -> None:
    cfg = experiment(tiny, "people", turns.parent / "dry", manifest=turns,
                     overrides=["data=meld_words"])  # fmt: skip
    cfg.stages.words.steps, cfg.dry_run = 50, True
    assert take(config.build(cfg, kind=TrainRun), None) == ExitCode.DONE
    (line,) = (each for each in capsys.readouterr().out.splitlines() if each.startswith("words "))
    assert line.split()[1] == "5", "6 rows, 2.5 passes, 3 at a time"


def _bracketed(text: str) -> str:
    """As SST-5 writes it."""
    return text.replace("(", "-lrb- ").replace(")", " -rrb-")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """AEB's files with as many texts as every split needs, those of SST and SST-5 the same."""
    said = [f"Text (number) {at}" for at in range(40)]
    files = {
        "SST_test": [(f"Task: Score it. Text: {x} Sentiment score: ", at / 40)
                     for at, x in enumerate(said)],
        "sst5_test": [(f"Task: Class. Text: {_bracketed(x.lower())} ! Sentiment Class: ",
                       ("3: positive", "1: negative")[at % 2]) for at, x in enumerate(said)],
        "emobank_test": [(f"Task: Determine the {d} intensity of it. Text: {x} Intensity Score: ",
                          1 + at / 10) for at, x in enumerate(said)
                         for d in ("valence", "arousal", "dominance")],
        "TDT": [(f"Task: Class. Text: {x} Intensity Class: ", at % 3 - 1)
                for at, x in enumerate(said)],
        "goemotion_test": [(f"Task: Say. Text: {x} This tweet contains emotions: ",
                            ("joy", "fear", "fear, joy")[at % 3]) for at, x in enumerate(said)],
    }  # fmt: skip
    for name, rows in files.items():
        lines(tmp_path / f"{name}.json", *rows)
    return tmp_path


def folded(texts: Path, fold: int) -> Path:
    rows = texts / f"fold{fold}" / "rows.jsonl"
    words = [str(texts), "--fold", str(fold), "--words-only", "--out", str(rows)]
    ran = run("aeb", words, texts)
    assert ran.code == 0, ran.err
    assert "13 rows of several emotions are left out" in ran.out
    return rows


def test_a_text_is_tested_once_and_never_trained_on_then(texts: Path) -> None:
    tested: list[str] = []
    read: list[Sample] = []
    for fold in range(1, 6):
        read = list(manifest.read(folded(texts, fold)))
        where: dict[str, set[str | None]] = {}
        for row in read:
            number = (row.subtitle or "").strip(" !").rpartition(" ")[2]
            where.setdefault(number, set()).add(row.split)
        assert len(where) == 40, "SST and SST-5 share texts"
        assert all(len(splits) == 1 for splits in where.values())
        assert {row.split for row in read} == {"train", "val", "test"}
        tested += [row.id for row in read if row.split == "test"]
        assert not any(row.messages for row in read)
    assert sorted(tested) == sorted(row.id for row in read)


def test_numbers_are_answered_by_the_mean_of_levels(tiny, texts: Path) -> None:
    rows = folded(texts, 1)
    final = learnt(tiny, rows, "aeb")
    given = ["benchmark=own_clips", f"checkpoint={final}", f"run_dir={rows.parent}",
             "subsets=[text]", "answer_by=likelihood"]  # fmt: skip
    number = ["benchmark.truth=writer_arousal", "benchmark.question='Arousal from 1 to 5?'"]
    assert evaluate([*given, *number, "benchmark.levels=5"]) == ExitCode.DONE
    found = results(rows.parent, "own_clips_writer_arousal")
    assert found["n"] == sum(row.split == "test" and "writer_arousal" in row.labels
                             for row in manifest.read(rows))  # fmt: skip
    assert (found["task"]["low"], found["task"]["high"]) == (1, 5)
    probe = found["variants"]["probe"]
    assert probe["status"]["ok"] == found["n"], "TF-IDF and ridge regression beside it"
    file = rows.parent / "eval/own_clips_writer_arousal/text.predictions.jsonl"
    said = [json.loads(line) for line in file.read_text().splitlines()]
    assert {*said[0]["scores"]} == {"1.0", "2.0", "3.0", "4.0", "5.0"}
    assert evaluate([*given, "benchmark.truth=comment_emotion"]) == ExitCode.DONE
    assert results(rows.parent, "own_clips_comment_emotion")["task"]["labels"] == ["fear", "joy"]
