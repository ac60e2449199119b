"""Which checkpoints stay, which is the best, which are gone on with, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from affect_mllm import config
from affect_mllm.models import checkpoint
from affect_mllm.train.main import main
from affect_mllm.train.plan.stage import Best, Validation
from affect_mllm.train.run import TrainRun
from affect_mllm.types import CheckpointError, ConfigError, ExitCode
from tests.processes import finished
from tests.train import resuming
from tests.train.weights import assert_same

ONE = ("stage=align", "stages.align.steps=6", "stages.align.save_every=1")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "train.py")


def rows(run_dir: Path) -> list[dict]:
    return [json.loads(x) for x in (run_dir / "align/metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / checkpoint.WEIGHTS)


def built(tiny, folder: Path, changes: dict, *more: str) -> TrainRun:
    """The run with changes of its align stage that have nodes of their own."""
    cfg = config.compose("train", tiny.overrides(folder, *ONE, *more))
    for key, value in changes.items():
        OmegaConf.update(cfg, f"stages.align.{key}", value, force_add=True)
    return config.build(config.checked(cfg))


def stopped(tiny, folder: Path, step: int, *more: str) -> Path:
    """A run that was stopped after that step."""
    plan = folder / "plan.json"
    overrides = tiny.overrides(folder / "run", *ONE, *more)
    plan.write_text(json.dumps([{"overrides": overrides, "stop": f"align:{step}"}]))
    resuming.main(str(plan))
    return folder / "run"


def held_out(tiny, split: str = "train") -> dict:
    """The tiny corpus has no validation split; what is measured does not matter here."""
    source = {
        "_target_": "affect_mllm.data.mixture.Source",
        "manifest": str(tiny.root / "manifest.jsonl"),
        "split": split,
        "instructions": {"describe_words": 1},
    }
    target = "affect_mllm.train.plan.stage.Validation"
    return {"_target_": target, "sources": {"data": source}, "every": 2, "batches": 2}


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_by_a_validation_metric_is_kept(tiny, tmp_path, mode: str) -> None:
    best = {"_target_": "affect_mllm.train.plan.stage.Best", "metric": "val/loss", "mode": mode}
    rates = {"compressors": {"match": r"compressors\..*", "lr": 0.05}}
    changes = {"validation": held_out(tiny), "best": best, "trainable": rates}
    assert built(tiny, tmp_path, changes).run() == ExitCode.DONE
    found = {row["step"]: row["eval"]["val/loss"] for row in rows(tmp_path) if "eval" in row}
    assert sorted(found) == [2, 4, 6]
    wanted = (min if mode == "min" else max)(found.values())
    meta = checkpoint.read_meta(tmp_path / "align/best")
    assert meta["best"] == {"metric": "val/loss", "value": wanted, "mode": mode}
    assert found[meta["step"]] == wanted
    last = weights(tmp_path / "align/final")
    same = all(torch.equal(t, last[n]) for n, t in weights(tmp_path / "align/best").items())
    assert same == (meta["step"] == 6)


def test_measuring_does_not_change_the_training(tiny, tmp_path) -> None:
    drop = "model.llm.lora.lora_dropout=0.3"
    plain, watched = tmp_path / "plain", tmp_path / "watched"
    built(tiny, plain, {}, drop).run()
    built(tiny, watched, {"validation": held_out(tiny)}, drop).run()
    assert [row["loss"] for row in rows(watched)] == [row["loss"] for row in rows(plain)]


def test_nothing_is_chosen_on_a_test_set(tiny) -> None:
    with pytest.raises(ConfigError, match="a test set"):
        Best("test/accuracy")
    source = config.build(held_out(tiny, "test")["sources"]["data"])
    with pytest.raises(ConfigError, match="split test is a test set"):
        Validation({"data": source})


def test_a_metric_that_nobody_reports_is_named_with_those_that_are(tiny, tmp_path) -> None:
    best = {"_target_": "affect_mllm.train.plan.stage.Best", "metric": "val/f1", "mode": "max"}
    with pytest.raises(ConfigError, match=r"val/f1(.|\n)*val/lm"):
        built(tiny, tmp_path, {"validation": held_out(tiny), "best": best}).run()


def test_the_last_k_stay_while_the_stage_runs(tiny, tmp_path) -> None:
    run = stopped(tiny, tmp_path, 5, "+stages.align.keep_last=3")
    steps = sorted(path.name for path in (run / "align").glob("step-*"))
    assert steps == ["step-000003", "step-000004", "step-000005"]


def test_going_on_with_two_processes_where_one_began(tiny, tmp_path) -> None:
    run = stopped(tiny, tmp_path, 3)
    assert main(tiny.overrides(tmp_path / "whole", *ONE)) == ExitCode.DONE
    code, said = finished([*TORCHRUN, *tiny.overrides(run, *ONE, "launch=fsdp2")])
    assert code == ExitCode.DONE, said
    assert "goes on after step 3" in said
    assert_same(weights(run / "align/final"), weights(tmp_path / "whole/align/final"))


@pytest.mark.parametrize(("strategy", "world"), [("zero2", 1), ("zero3", 4)])
def test_state_of_zero_is_refused_elsewhere_with_both_numbers(
    tiny, tmp_path, strategy: str, world: int
) -> None:
    run = stopped(tiny, tmp_path, 2)
    path = run / "align/step-000002/data_state.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "strategy": strategy, "world": world, "any_world": False}))
    with pytest.raises(CheckpointError) as refused:
        main(tiny.overrides(run, *ONE))
    assert f"written by {world} process(es) with {strategy}" in str(refused.value)
    assert "written by 1 process(es) with single" in str(refused.value)


def test_resume_never_refuses_a_folder_with_checkpoints(tiny, tmp_path) -> None:
    run = stopped(tiny, tmp_path, 2)
    with pytest.raises(ConfigError, match=r"never, but .*align has checkpoints"):
        main(tiny.overrides(run, *ONE, "resume=never"))
    assert main(tiny.overrides(tmp_path / "new", *ONE, "resume=never")) == ExitCode.DONE


def test_from_a_stage_on(tiny, tiny_run, tmp_path) -> None:
    shutil.copytree(tiny_run / "align", tmp_path / "align")
    assert main(tiny.overrides(tmp_path, "from_stage=emotion")) == ExitCode.DONE
    for stage in ("emotion", "instruct"):
        one, two = (weights(run / stage / "final") for run in (tiny_run, tmp_path))
        assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    for wrong in (("from_stage=emotoin",), ("from_stage=emotion", "stage=align")):
        with pytest.raises(ConfigError, match="from_stage"):
            main(tiny.overrides(tmp_path, *wrong))


def test_a_stage_has_the_name_that_it_is_listed_under(tiny, tmp_path) -> None:
    swapped = tiny.overrides(tmp_path, "stages.align.name=instruct")
    with pytest.raises(ConfigError, match=r"stages\.align\.name: instruct(.|\n)*set stages\.align"):
        main(swapped)
    assert list(tmp_path.iterdir()) == []


def head(tiny, folder: Path, classes: list[str], *more: str, rate: bool = True) -> TrainRun:
    target = "affect_mllm.train.loss.heads.Classification"
    losses = {
        "lm": {"_target_": "affect_mllm.train.loss.token.TokenLoss"},
        "emotion": {"_target_": target, "classes": classes},
    }
    changes: dict = {"losses": losses}
    if rate:
        changes["trainable"] = {
            "heads": {"match": r"heads\..*", "lr": 1e-2},
            "compressors": {"match": r"compressors\..*", "lr": 1e-3},
        }
    return built(tiny, folder, changes, *more)


def test_a_head_is_saved_and_a_later_stage_goes_on_with_it(tiny, tmp_path) -> None:
    classes = ["happy", "sad", "angry"]
    assert head(tiny, tmp_path / "a", classes).run() == ExitCode.DONE
    final = tmp_path / "a/align/final"
    assert sorted(load_file(final / checkpoint.HEADS)) == [
        f"heads.emotion.{layer}.{kind}" for layer in (0, 1) for kind in ("bias", "weight")
    ]
    assert not any(name.startswith("heads.") for name in weights(final))
    assert all(row["losses"]["emotion"] > 0 for row in rows(tmp_path / "a"))
    checkpoint.load_model(final)  # which has no such head
    again = (f"+stages.align.init_from={final}", "stages.align.steps=1")
    head(tiny, tmp_path / "b", classes, *again).run()
    first = [rows(tmp_path / run)[0]["losses"]["emotion"] for run in ("a", "b")]
    assert first[1] < first[0], "it is not a new one"
    with pytest.raises(CheckpointError, match="other shape"):
        head(tiny, tmp_path / "c", [*classes, "calm"], *again).run()


def test_a_head_without_a_rate_is_refused(tiny, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"heads\.emotion\.0\.weight(.|\n)*add `heads"):
        head(tiny, tmp_path, ["happy", "sad", "angry"], rate=False).run()
