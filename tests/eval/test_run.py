"""Whole evaluations of a tiny checkpoint: scored, repeated, broken off, put side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from affect_mllm.data import manifest
from affect_mllm.eval.generate.asking import Asker
from affect_mllm.eval.main import main
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.types import ConfigError, DataError, ExitCode

CEILINGS = {"face+audio+text": 0.9, "audio": 0.5, "untrained": 0.25}


@pytest.fixture(scope="module")
def corpus(tiny, tmp_path_factory) -> Path:
    """The tiny corpus with what it states about itself, and three rows of conflict."""
    folder = tmp_path_factory.mktemp("corpus")
    shutil.copytree(tiny.root / "clips", folder / "clips")
    lines = [json.loads(x) for x in (tiny.root / "manifest.jsonl").read_text().splitlines()]
    parts = ("video_aligned", "audio_aligned", "consistent")
    for row, part in zip(lines[3:6], parts, strict=True):
        row["split"] = "conflict"
        row["labels"]["conflict"] = part
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    (folder / "corpus.json").write_text(json.dumps({"ceilings": {"test": CEILINGS}}))
    return folder / "manifest.jsonl"


@pytest.fixture(scope="module")
def command(tiny, tiny_run, corpus):
    """Function: a run directory and more overrides → an evaluation's overrides."""
    given = [f"checkpoint={tiny_run / 'instruct/final'}", f"manifest={corpus}"]
    given += [f"cache_dir={tiny.root / 'eval_features'}", "max_new_tokens=3", "batch_size=2"]
    return lambda folder, *more: [*given, f"run_dir={folder}", *more]


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def answers(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def done(command, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("eval")
    more = ("subsets=[face+audio+text,audio]", "untrained=true")
    assert main(command(folder, *more)) == ExitCode.DONE
    return folder


def test_results_put_all_variants_side_by_side(done, corpus) -> None:
    found = results(done)
    run = found["runs"]["synthetic"]
    assert set(run["variants"]) == {"face+audio+text", "audio", "untrained", "majority"}
    assert run["reference"] == "face+audio+text"
    assert run["n"] == 4
    assert {entry["other"] for entry in run["comparisons"]} == {"audio", "untrained", "majority"}
    truths = {s.id: s.labels["emotion"] for s in manifest.read(corpus) if s.split == "test"}
    for name, variant in run["variants"].items():
        assert variant["ceiling"] == CEILINGS.get(name)
        assert variant["n"] == 4
        assert 0 <= variant["metrics"]["accuracy"]["value"] <= 1
        if name != "majority":
            path = done / run["predictions"][name]
            assert [row["id"] for row in answers(path)] == sorted(truths)
    assert [entry["stage"] for entry in found["info"]["lineage"]] == [
        "align",
        "emotion",
        "instruct",
    ]


def test_the_untrained_model_is_another_model(done) -> None:
    folder = done / "eval/synthetic"
    one, two = (
        answers(folder / f"{name}.predictions.jsonl") for name in ("face+audio+text", "untrained")
    )
    assert {row["checkpoint"] for row in two} == {one[0]["checkpoint"] + "-untrained"}
    assert {row["prompt_hash"] for row in two} == {row["prompt_hash"] for row in one}


def never(*_args, **_options):
    raise AssertionError("generated again")


def test_a_second_run_asks_nothing_and_says_the_same(done, command, tmp_path, monkeypatch) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "run"))
    monkeypatch.setattr(LanguageModel, "generate", never)
    more = ("subsets=[face+audio+text,audio]", "untrained=true")
    assert main(command(folder, *more)) == ExitCode.DONE
    assert results(folder) == results(done)
    # A subset that was not asked for before is not taken from elsewhere.
    with pytest.raises(AssertionError, match="generated again"):
        main(command(folder, "subsets=[face]"))


def test_a_generation_broken_off_goes_on(done, command, tmp_path, monkeypatch) -> None:
    """It breaks off in the second of two batches; only that one is asked for again."""
    generate, asked = Asker._generate, []

    def breaking(self, batch, rows, words):
        if asked:
            raise KeyboardInterrupt
        asked.extend(batch.sample_ids)
        return generate(self, batch, rows, words)

    def noting(self, batch, rows, words):
        asked.extend(batch.sample_ids)
        return generate(self, batch, rows, words)

    with monkeypatch.context() as patch:
        patch.setattr(Asker, "_generate", breaking)
        with pytest.raises(KeyboardInterrupt):
            main(command(tmp_path))
    assert not (tmp_path / "results.json").exists()
    assert len(asked) == 2
    monkeypatch.setattr(Asker, "_generate", noting)
    assert main(command(tmp_path)) == ExitCode.DONE
    assert sorted(asked) == ["c10", "c11", "c12", "c13"]
    name = "eval/synthetic/face+audio+text.predictions.jsonl"
    assert [(row["id"], row["response"]) for row in answers(tmp_path / name)] == [
        (row["id"], row["response"]) for row in answers(done / name)
    ]


def test_two_benchmarks_in_one_folder_both_stay(done, command, tmp_path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "run"))
    assert main(command(folder, "benchmark=synthetic_conflict")) == ExitCode.DONE
    found = results(folder)
    assert found["runs"]["synthetic"] == results(done)["runs"]["synthetic"]
    conflict = found["runs"]["synthetic_conflict"]
    assert conflict["n"] == 3
    assert conflict["variants"]["face+audio+text"]["ceiling"] is None, "none stated for this split"
    assert found["main"] == "synthetic"
    for run in found["runs"].values():
        assert all((folder / path).is_file() for path in run["predictions"].values())


def test_an_unknown_subset_is_refused_before_anything_is_loaded(command, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"smell(.|\n)*face"):
        main(command(tmp_path, "subsets=[face+smell]"))
    assert not list(tmp_path.iterdir())


def test_a_benchmark_without_rows_is_refused(command, tmp_path) -> None:
    with pytest.raises(Exception, match="nowhere"):
        main(command(tmp_path, "benchmark.split=nowhere"))


def test_a_benchmarks_own_manifest_comes_before_the_checkpoints(command, corpus, tmp_path) -> None:
    own = corpus.with_name("own.jsonl")
    lines = corpus.read_text().splitlines()
    own.write_text("".join(f"{line}\n" for line in lines if '"c10"' not in line))
    given = [each for each in command(tmp_path) if not each.startswith("manifest=")]
    assert main([*given, f"+benchmark.manifest={own}"]) == ExitCode.DONE
    assert results(tmp_path)["runs"]["synthetic"]["n"] == 3


def test_no_subset_is_refused(command, tmp_path) -> None:
    with pytest.raises(ConfigError, match="subsets"):
        main(command(tmp_path, "subsets=[]"))


def test_rows_that_cannot_be_asked_about_end_the_run(command, corpus, tmp_path) -> None:
    """More of them than the data's `max_bad_fraction`; rows of which nothing is seen are none."""
    lines = [json.loads(line) for line in corpus.read_text().splitlines()]
    for row in lines:
        if row["id"] != "c10":
            row["labels"]["hint"] = "emotion"
    own = corpus.with_name("hints.jsonl")
    own.write_text("".join(json.dumps(row) + "\n" for row in lines))
    given = [each for each in command(tmp_path) if not each.startswith("manifest=")]
    with pytest.raises(DataError, match=r"1 of 4 rows(.|\n)*c10(.|\n)*labels\.hint"):
        main([*given, f"manifest={own}", "benchmark.question='Which {hint}?'"])
    assert not (tmp_path / "results.json").exists()
