"""A CSV with labels of one's own, to a manifest, a training, an evaluation and a report."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.eval.main import main as evaluate
from affect_mllm.tools.app import main
from affect_mllm.train.run import TrainRun
from affect_mllm.types import CheckpointError, ConfigError, ExitCode
from tests.tiny_experiments import experiment

MOODS = ("boredom", "contempt", "焦虑")
GIVEN = ("--label", "mood", "--label", "stress", "--label", "signs:list")


def call(*words: str | Path) -> None:
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    assert left.value.code == ExitCode.DONE


@pytest.fixture(scope="module")
def clips(tiny, tmp_path_factory) -> Path:
    """A folder of clips and sounds, and `clips.csv` about them; two rows have no stress."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(tiny.root / "clips", folder / "clips")
    lines = ["file,mood,stress,signs,split"]
    for at, path in enumerate(sorted((folder / "clips").iterdir())):
        stress = "" if at in (0, 13) else str(at % 8)
        split = "train" if at < 8 else "test"
        lines.append(f"{path.name},{MOODS[at % 3]},{stress},frown{'; sigh' * (at % 2)},{split}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(tiny, clips: Path) -> Path:
    """The checkpoint of a training that was told nothing of the labels but the manifest."""
    path = clips / "manifest.jsonl"
    call("manifest", "--csv", clips / "clips.csv", "--media-root", clips / "clips", *GIVEN,
         "--out", path)  # fmt: skip
    cfg = experiment(tiny, "own_clips", clips / "train", manifest=path)
    cfg.data.cache_dir = str(clips / "features")
    assert config.build(cfg, kind=TrainRun).run() == ExitCode.DONE
    return clips / "train/instruct/final"


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def test_a_checkpoint_knows_its_questions_without_the_manifest(trained: Path) -> None:
    data: Any = OmegaConf.to_container(OmegaConf.load(trained / "config.yaml"))["data"]  # type: ignore[index]
    assert data["ask_labels"] == []
    assert data["instructions"]["mood"]["allowed"] == [*MOODS]
    assert data["instructions"]["stress"]["scale"] == [0.0, 7.0]
    assert data["instructions"]["signs"]["allowed"] == ["frown", "sigh"]


def test_evaluation_and_report_have_the_manifests_classes(clips: Path, trained: Path) -> None:
    run = clips / "run"
    given = [f"checkpoint={trained}", "benchmark=own_clips", f"run_dir={run}", "max_new_tokens=3"]
    assert evaluate([*given, "answer_by=likelihood"]) == ExitCode.DONE
    assert evaluate([*given, "benchmark.truth=stress"]) == ExitCode.DONE
    assert evaluate([*given, "benchmark.truth=signs"]) == ExitCode.DONE
    found = results(run)["runs"]
    assert set(found) == {"own_clips", "own_clips_stress", "own_clips_signs"}
    moods = found["own_clips"]
    assert moods["task"]["labels"] == [*MOODS]
    assert moods["n"] == 6
    scored = moods["variants"]["face+audio+text"]
    assert scored["confusion"]["labels"][:3] == [*MOODS]
    # Of the rows 8 to 13 two have each class: whoever says one always is right for a third.
    assert moods["variants"]["majority"]["metrics"]["accuracy"]["value"] == pytest.approx(1 / 3)
    assert moods["variants"]["majority"]["metrics"]["uar"]["value"] == pytest.approx(1 / 3)
    beside = [each for each in moods["comparisons"] if each["other"] == "probe"]
    assert [(each["n"], each["metric"]["name"]) for each in beside] == [(6, "accuracy")]
    assert "probe" in found["own_clips_stress"]["variants"]
    assert "probe" not in found["own_clips_signs"]["variants"], "of lists there is none"
    assert found["own_clips_stress"]["n"] == 5, "one test row has no stress"
    call("report", run)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert all(mood in page for mood in MOODS)


def test_the_head_answers_without_an_llm(clips: Path, trained: Path, monkeypatch) -> None:
    from affect_mllm.models.llm.language_model import LanguageModel

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the LLM ran")

    monkeypatch.setattr(LanguageModel, "hidden_states", refuse)
    monkeypatch.setattr(LanguageModel, "written", refuse)
    run = clips / "by_head"
    given = [f"checkpoint={trained}", "benchmark=own_clips", f"run_dir={run}", "answer_by=head"]
    assert evaluate(given) == ExitCode.DONE
    assert results(run)["runs"]["own_clips"]["n"] == 6
    lines = (run / "eval/own_clips/face+audio+text.predictions.jsonl").read_text().splitlines()
    for row in map(json.loads, lines):
        assert set(row["scores"]) == set(MOODS)
        assert sum(map(math.exp, row["scores"].values())) == pytest.approx(1, abs=1e-5)
        assert row["response"] == max(row["scores"], key=row["scores"].__getitem__)
    with pytest.raises(ConfigError, match="kind regression"):
        evaluate([*given, "benchmark.truth=stress"])
    with pytest.raises(ConfigError, match="nothing is drawn"):
        evaluate([*given, "repeats=2"])


def test_a_checkpoint_without_a_head_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    given = ["benchmark=synthetic", f"run_dir={tmp_path}", "answer_by=head"]
    with pytest.raises(CheckpointError, match="no head on media tokens for emotion"):
        evaluate([*given, f"checkpoint={tiny_run / 'instruct/final'}"])


def test_texts_alone_are_trained_on_and_asked(tiny, tmp_path: Path) -> None:
    lines = [f"sentence {i},{MOODS[i % 3]},{'train' if i < 6 else 'test'}" for i in range(9)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label,split", *lines]) + "\n")
    call("manifest", "--csv", tmp_path / "t.csv", "--label", "label")
    path = tmp_path / "manifest.jsonl"
    cfg = experiment(tiny, "own_clips", tmp_path / "train", manifest=path)
    assert config.build(cfg, kind=TrainRun).run() == ExitCode.DONE
    final = tmp_path / "train/instruct/final"
    given = [f"checkpoint={final}", "benchmark=own_clips", f"run_dir={tmp_path}", "subsets=[text]"]
    assert evaluate(given) == ExitCode.DONE
    assert results(tmp_path)["n"] == 3
    (row,) = {json.loads(line)["data"] for line in said(tmp_path).splitlines()}
    assert "at most 12 tokens" in row, "the longest label has fewer bytes"


def test_an_answer_may_be_as_long_as_the_longest_label(tiny_run: Path, tmp_path: Path) -> None:
    long = "非常焦虑而且疲惫"
    rows = [
        {"id": i, "subtitle": i, "split": "test", "labels": {"emotion": i}} for i in ("x", long)
    ]
    manifest.write(rows, tmp_path / "m.jsonl")
    given = ["benchmark=own_clips", f"manifest={tmp_path / 'm.jsonl'}", "subsets=[text]"]
    final = tiny_run / "instruct/final"
    assert evaluate([*given, f"checkpoint={final}", f"run_dir={tmp_path}"]) == ExitCode.DONE
    assert f"at most {len(long.encode()) + 1} tokens" in said(tmp_path)


def said(folder: Path) -> str:
    return (folder / "eval/own_clips/text.predictions.jsonl").read_text(encoding="utf-8")
