"""What `suite=` makes of a command line: one evaluation a benchmark, and a stage where asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from affect_mllm.eval.benchmarks import load_suite
from affect_mllm.eval.suite_run import Told, stages
from affect_mllm.models.checkpoint import FORMAT_VERSION
from affect_mllm.types import ConfigError


def manifests(folder: Path, names) -> Path:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.jsonl").write_text("")
    return folder


def trained(run: Path) -> Path:
    for name, length in {"instruct": 3, "align": 1, "emotion": 2}.items():
        folder = run / "train" / name / "final"
        folder.mkdir(parents=True)
        meta = {"format_version": FORMAT_VERSION, "hashes": {}, "lineage": [{}] * length}
        (folder / "meta.json").write_text(json.dumps(meta))
    return run


def test_a_suite_is_its_benchmarks_one_after_another(tmp_path: Path) -> None:
    folder = manifests(tmp_path / "m", load_suite("general").benchmarks)
    told = Told.of(["suite=general", f"manifests={folder}", "checkpoint=c", "run_dir=r", "x=1"])
    assert told is not None
    runs = list(told.runs())
    assert [run[-2].removeprefix("benchmark=") for run in runs] == [
        *load_suite("general").benchmarks
    ]
    assert runs[0] == ["checkpoint=c", "run_dir=r", "x=1", "benchmark=mme",
                       f"manifest={folder / 'mme.jsonl'}"]  # fmt: skip


def test_a_suite_lacks_no_benchmark_and_names_those_it_would(tmp_path: Path) -> None:
    folder = manifests(tmp_path / "m", ["mme"])
    told = Told.of(["suite=general", f"manifests={folder}", "checkpoint=c"])
    assert told is not None
    with pytest.raises(ConfigError, match="no manifest of pope, mmbench"):
        list(told.runs())


def test_forgetting_asks_every_stage_of_a_run_in_its_order(tmp_path: Path) -> None:
    run, folder = trained(tmp_path / "run"), manifests(tmp_path / "m", ["pope", "meld"])
    told = Told.of(["suite=forgetting", f"manifests={folder}", f"checkpoint={run}", "run_dir=out"])
    assert told is not None
    found = [dict(each.split("=", 1) for each in one) for one in told.runs()]
    assert [(one["run_dir"], one["benchmark"]) for one in found] == [
        (f"out/{stage}", name) for stage in ("align", "emotion", "instruct")
        for name in ("meld", "pope")
    ]  # fmt: skip
    assert found[0]["checkpoint"] == str(run / "train/align/final")
    assert list(stages(run)) == ["align", "emotion", "instruct"]


def test_forgetting_needs_a_benchmark_of_either_side(tmp_path: Path) -> None:
    run, folder = trained(tmp_path / "run"), manifests(tmp_path / "m", ["meld"])
    told = Told.of(["suite=forgetting", f"manifests={folder}", f"checkpoint={run}"])
    assert told is not None
    with pytest.raises(ConfigError, match="no manifest of mer2023"):
        list(told.runs())


def test_what_does_not_go_with_a_suite_is_refused(tmp_path: Path) -> None:
    assert Told.of(["benchmark=meld", "checkpoint=c"]) is None
    with pytest.raises(ConfigError, match="benchmark: beside suite="):
        Told.of(["suite=general", "benchmark=meld", "manifests=m", "checkpoint=c"])
    with pytest.raises(ConfigError, match="manifests: none"):
        Told.of(["suite=general", "checkpoint=c"])
    with pytest.raises(ConfigError, match="no finished stage"):
        stages(tmp_path)
