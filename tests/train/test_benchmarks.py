"""A benchmark asked while training, and a trial run that leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from affect_mllm import config
from affect_mllm.models import checkpoint
from affect_mllm.tools.train import benchmark, main
from affect_mllm.train import dry_run
from affect_mllm.train.main import main as train_alone
from affect_mllm.train.plan.stage import Asked
from affect_mllm.types import ConfigError, DataError, ExitCode
from tests import tiny_vlm
from tests.processes import finished

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "train.py")
ALONE = ("~stages.align", "~stages.emotion")
ASKED = "+stages.instruct.benchmarks={_target_: affect_mllm.train.plan.stage.Asked, %s}"
VALIDATION = (
    "++stages.instruct.validation={_target_: affect_mllm.train.plan.stage.Validation, every: 1,"
    " batches: 1, sources: {data: {_target_: affect_mllm.data.mixture.Source, manifest:"
    " '${data.manifest}', split: train, instructions: {label: 1}}}}"
)
SPLIT = "names: [synthetic], every: 1, split: train, batch_size: 4"


def evals(run_dir: Path) -> list[dict]:
    lines = (run_dir / "instruct/metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["eval"] for line in lines]


def test_a_benchmark_is_asked_on_all_ranks_and_chooses_the_best(tiny, tmp_path) -> None:
    best = (
        "+stages.instruct.best={_target_: affect_mllm.train.plan.stage.Best, metric: %s, mode: max}"
    )
    given = [*ALONE, ASKED % SPLIT, best % "val/synthetic/accuracy"]
    command = tiny.overrides(tmp_path / "one", *given)
    assert main(command) == ExitCode.DONE
    found = evals(tmp_path / "one")
    assert len(found) == 2
    for row in found:
        assert set(row) == {
            f"val/synthetic/{name}" for name in ("accuracy", "uar", "weighted_f1", "macro_f1")
        }
        assert all(0 <= value <= 1 for value in row.values())
    assert checkpoint.read_meta(tmp_path / "one/instruct/best")["best"]["value"] in [
        row["val/synthetic/accuracy"] for row in found
    ]
    code, said = finished(
        [*TORCHRUN, *tiny.overrides(tmp_path / "two", *given, "launch=ddp")],
        ACCELERATE_USE_CPU="true",
    )
    assert code == ExitCode.DONE, said
    assert evals(tmp_path / "two")[0] == pytest.approx(found[0])


def test_a_stage_that_patience_ends_has_its_final_benchmark(tiny, tmp_path) -> None:
    """Nothing moves, so that no later loss is better; of 9 steps two are taken."""
    best = "{_target_: affect_mllm.train.plan.stage.Best, metric: val/loss, patience: 1}"
    rates = [
        f"stages.instruct.trainable.{each}.lr=1e-30" for each in ("lora", "fusion", "compressors")
    ]
    given = [
        *(*ALONE, *rates, VALIDATION, f"++stages.instruct.best={best}", "stages.instruct.steps=9"),
        ASKED % SPLIT.replace("every: 1", "every: 100"),
    ]
    assert main(tiny.overrides(tmp_path, *given)) == ExitCode.DONE
    first, last = evals(tmp_path)
    assert first.keys() == {"val/loss", "val/lm"}
    assert first["val/loss"] == last["val/loss"]
    assert 0 <= last["val/synthetic/accuracy"] <= 1


def test_what_chooses_the_best_may_come_more_seldom_than_what_else_is_measured(
    tiny, tmp_path
) -> None:
    """The first step has a validation, but not the benchmark's accuracy, which the second has."""
    best = (
        "{_target_: affect_mllm.train.plan.stage.Best, metric: val/synthetic/accuracy, mode: max}"
    )
    given = [*ALONE, VALIDATION, ASKED % SPLIT.replace("every: 1", "every: 2")]
    given += [f"++stages.instruct.best={best}"]
    assert main(tiny.overrides(tmp_path, *given)) == ExitCode.DONE
    first, last = evals(tmp_path)
    assert "val/synthetic/accuracy" not in first
    kept = checkpoint.read_meta(tmp_path / "instruct/best")["best"]
    assert kept["value"] == last["val/synthetic/accuracy"]


def test_a_benchmark_of_claims_gives_the_metrics_that_its_rows_have(tiny) -> None:
    """Everything is shown in training: of what is hidden there is no share."""
    made = benchmark("perception", Asked(["perception"], split="train", max_rows=2), tiny.data)
    said = {"prompt_hash": "x", "modalities": ["audio", "frame"], "response": "Her voice shakes."}
    found = made.metrics([{"id": sample.id, **said} for sample in made.samples])
    assert found["grounded"] == 1.0
    assert "unfounded_voice" not in found


def test_rows_are_spread_over_the_split(tiny) -> None:
    model = tiny.model()
    asked = Asked(["synthetic"], split="train", max_rows=3)
    made = benchmark("synthetic", asked, tiny.data)
    made.prepare(model)
    assert [sample.id for sample in made.samples] == ["c00", "c04", "c08"]
    rows = made.ask(model, 0, 2) + made.ask(model, 1, 2)
    assert sorted(row["id"] for row in rows) == ["c00", "c04", "c08"]
    right = [
        {**row, "response": emotion}
        for row, emotion in zip(
            sorted(rows, key=lambda row: row["id"]), ("happy", "sad", "angry"), strict=True
        )
    ]
    assert made.metrics(right)["accuracy"] == 1.0
    right[0]["response"] = "what?"
    assert made.metrics(right[::-1])["accuracy"] == pytest.approx(2 / 3)


def test_rows_of_a_vlm_are_measured_before_they_are_asked(tiny, tmp_path) -> None:
    """Each rank measures its share, and all know the lengths of all rows."""
    model = tiny_vlm.model(tiny_vlm.build(tiny, tmp_path))
    data = replace(tiny.data, cache_dir=None)
    shares: list[Any] = []

    def gather(found: Any) -> list[Any]:
        shares.append(found)
        return shares

    for rank in range(2):
        made = benchmark("synthetic", Asked(["synthetic"], split="train", max_rows=4), data)
        made.prepare(model, rank=rank, world=2, gather=gather)
    lengths, features = made.made["lengths"], made.made["features"]
    assert len(shares) == 2
    for sample in made.samples:
        planned, read = lengths.of(sample), features.clip(sample).arrays
        assert {name: item.grid for name, item in planned.items()} == {
            name: item.grid for name, item in read.items()
        }


def test_a_test_split_a_wrong_name_an_empty_split_and_a_caller_without_are_refused(
    tiny, tmp_path
) -> None:
    with pytest.raises(ConfigError, match=r"test is a test set"):
        Asked(["synthetic"], split="test")
    with pytest.raises(ConfigError, match="nothing_such"):
        benchmark("nothing_such", Asked(["nothing_such"]), tiny.data)
    with pytest.raises(DataError, match="val"):
        benchmark("synthetic", Asked(["synthetic"]), tiny.data)
    with pytest.raises(ConfigError, match="train with"):
        train_alone(tiny.overrides(tmp_path, *ALONE, ASKED % SPLIT))


def test_a_dry_run_reports_every_stage_and_leaves_nothing_behind(tiny, tmp_path, capsys) -> None:
    folder = tmp_path / "not/yet/there"
    cache = tmp_path / "features"
    rate = "stages.instruct.trainable.lora.lr=0.0003"
    given = (f"data.cache_dir={cache}", "stages.instruct.steps=1000", rate, "dry_run=true")
    assert main(tiny.overrides(folder, *given)) == ExitCode.DONE
    said = capsys.readouterr().out
    for name, steps in (("align", 2), ("emotion", 2), ("instruct", 1000)):
        (line,) = [line for line in said.splitlines() if line.startswith(f"{name} ")]
        assert int(line.split()[1]) == steps
        assert float(line.split()[2]) > 0
    assert "GB" in said
    assert rate in said.splitlines()
    assert "stages.emotion.trainable.gate.lr=0.001" in said.splitlines()
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_beside_a_run_leaves_that_alone_and_fails_as_it_would(
    tiny, tiny_run, tmp_path, capsys
) -> None:
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    given = ("stage=instruct", "dry_run=true", "seed=5")
    assert main(tiny.overrides(folder, *given)) == ExitCode.DONE
    assert "instruct" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    cfg = config.compose("train", tiny.overrides(folder, *given))
    nobody = {"nobody": {"match": "no_such", "lr": 1.0}}
    OmegaConf.update(cfg, "stages.instruct.trainable", nobody, force_add=True)
    with pytest.raises(ConfigError, match="matches no parameter"):
        dry_run.take(config.build(config.checked(cfg)), None)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
