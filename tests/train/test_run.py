"""Whole runs of a tiny model on real clips: stopped, resumed, repeated, refused."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.models import checkpoint
from affect_mllm.train import run as run_module
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.main import main
from affect_mllm.train.step.trainer import Trainer
from affect_mllm.types import CheckpointError, ConfigError, DataError, ExitCode
from tests.train.resuming import stop_after

STAGES = ("align", "emotion", "instruct")
# Dropout draws random numbers in every step, so that a resume must restore them.
LONG = (
    "stage=instruct",
    "stages.instruct.steps=8",
    "model.llm.lora.lora_dropout=0.3",
    "launch.row_tokens=400",
    "launch.micro_batches=2",
)


def weights(run_dir: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_file(run_dir / stage / "final" / checkpoint.WEIGHTS)


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def rows(run_dir: Path, stage: str) -> list[dict]:
    return [json.loads(x) for x in (run_dir / stage / "metrics.jsonl").read_text().splitlines()]


def status(run_dir: Path) -> dict:
    return json.loads((run_dir / "status.json").read_text())


def begun(tiny_run: Path, folder: Path) -> Path:
    """A run directory whose first two stages are finished."""
    for stage in STAGES[:2]:
        shutil.copytree(tiny_run / stage, folder / stage)
    return folder


@pytest.fixture(scope="module")
def straight(tiny, tiny_run, tmp_path_factory) -> Path:
    """Eight steps of the last stage without a break."""
    folder = begun(tiny_run, tmp_path_factory.mktemp("straight"))
    assert main(tiny.overrides(folder, *LONG)) == ExitCode.DONE
    return folder


def test_all_stages_leave_checkpoints_with_their_lineage(tiny, tiny_run) -> None:
    assert status(tiny_run) == {"state": "done", "resumable": False}
    parent = None
    for number, stage in enumerate(STAGES, 1):
        final = tiny_run / stage / "final"
        meta = checkpoint.read_meta(final)
        assert [entry["stage"] for entry in meta["lineage"]] == list(STAGES[:number])
        assert meta["lineage"][-1]["parent"] == parent
        digest = manifest.digest(tiny.root / "manifest.jsonl")
        assert set(meta["lineage"][-1]["data"].values()) == {digest}
        assert sorted(p.name for p in final.parent.iterdir()) == ["final", "metrics.jsonl"]
        parent = checkpoint.checkpoint_hash(final)


def test_a_stage_changes_what_it_names_and_nothing_else(tiny_run) -> None:
    align, emotion, instruct = (weights(tiny_run, stage) for stage in STAGES)
    changed = {name for name in align if not torch.equal(align[name], emotion[name])}
    assert any(".gate." in name for name in changed)
    assert changed == {n for n in changed if ".experts.emotion." in n or ".gate." in n}
    assert any("lora_B" in n for n in align if not torch.equal(emotion[n], instruct[n]))
    assert not any(align[name].any() for name in align if "lora_B" in name)


def test_metrics_hold_what_the_report_reads(tiny_run) -> None:
    for stage in STAGES:
        found = rows(tiny_run, stage)
        assert [row["step"] for row in found] == [1, 2]
        for row in found:
            assert row["stage"] == stage
            assert row["steps"] == 2
            assert 0 < row["loss"] < 100
            assert row["supervised_tokens"] > 0
            for gate in row["gate"].values():
                assert sum(gate.values()) == pytest.approx(1)
                assert stage != "align" or gate["general"] == 1


def test_stopped_and_resumed_is_the_same_run_bit_for_bit(
    tiny, tiny_run, straight, tmp_path, monkeypatch
) -> None:
    """Also with a loader process, which the straight run did without."""
    folder = begun(tiny_run, tmp_path)
    command = tiny.overrides(folder, *LONG, "launch.workers=1")
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        assert main(command) == ExitCode.STOPPED
    assert status(folder) == {"state": "stopped", "resumable": True}
    kept = sorted(path.name for path in (folder / "instruct").iterdir())
    assert kept == ["metrics.jsonl", "step-000003"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    assert main(command) == ExitCode.DONE
    assert same(weights(folder, "instruct"), weights(straight, "instruct"))
    one, two = rows(folder, "instruct"), rows(straight, "instruct")
    assert [row["step"] for row in one] == list(range(1, 9))
    for key in ("loss", "grad_norm", "lr", "gate", "supervised_tokens"):
        assert [row[key] for row in one] == [row[key] for row in two]
    assert status(folder)["state"] == "done"


def test_a_kill_after_a_saved_step_loses_only_what_came_after(
    tiny, tiny_run, straight, tmp_path, monkeypatch
) -> None:
    folder = begun(tiny_run, tmp_path)
    command = tiny.overrides(folder, *LONG, "stages.instruct.save_every=3")
    steps = Trainer.train_step

    def dying(self, step, batch):
        if step == 6:
            raise KeyboardInterrupt
        return steps(self, step, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", dying)
        with pytest.raises(KeyboardInterrupt):
            main(command)
    assert status(folder) == {"state": "failed", "resumable": True}
    with (folder / "instruct/metrics.jsonl").open("a") as log:
        log.write('{"step": 6, "gate": {"face": {"general": 1.0}')  # a torn line
    assert main(command) == ExitCode.DONE
    assert same(weights(folder, "instruct"), weights(straight, "instruct"))
    assert [row["step"] for row in rows(folder, "instruct")] == list(range(1, 9))


def test_a_damaged_step_is_not_resumed_from(tiny, tiny_run, tmp_path, monkeypatch) -> None:
    folder = begun(tiny_run, tmp_path)
    command = tiny.overrides(folder, *LONG)
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        main(command)
    state = next((folder / "instruct/step-000001/engine").glob("optimizer*"))
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(data)
    with pytest.raises(CheckpointError, match="delete this checkpoint"):
        main(command)


def test_one_run_of_all_stages_equals_stage_by_stage(tiny, tiny_run, tmp_path) -> None:
    for stage in STAGES:
        assert main(tiny.overrides(tmp_path, f"stage={stage}")) == ExitCode.DONE
        assert same(weights(tmp_path, stage), weights(tiny_run, stage))


def test_finished_stages_are_used_again(tiny, tiny_run, monkeypatch) -> None:
    before = {stage: weights(tiny_run, stage) for stage in STAGES}

    def never(*_args, **_options):
        raise AssertionError("trained again")

    monkeypatch.setattr(Trainer, "train_step", never)
    assert main(tiny.overrides(tiny_run)) == ExitCode.DONE
    for stage in STAGES:
        assert same(weights(tiny_run, stage), before[stage])


@pytest.mark.parametrize("change", ["seed=2", "stages.align.steps=3", "data.prompt.system=Look."])
def test_another_run_in_the_same_folder_is_refused(tiny, tiny_run, tmp_path, change) -> None:
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    key = change.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"align/final(.|\n)*{key}: (.|\n)*another run_dir"):
        main(tiny.overrides(folder, change))
    assert same(weights(folder, "align"), weights(tiny_run, "align"))


def test_a_stage_without_the_one_before_says_what_is_missing(tiny, tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"align/final(.|\n)*no such folder"):
        main(tiny.overrides(tmp_path, "stage=emotion"))


class Spy(Trainer):
    """Keeps the weights from before the first step."""

    seen: Spy

    def fit(self, loader, first_step, *, max_bad) -> None:
        Spy.seen = self
        module = self.engine.module
        self.before = {n: p.detach().clone() for n, p in module.named_parameters()}
        super().fit(loader, first_step, max_bad=max_bad)


def test_a_loss_that_is_not_finite_stops_before_the_update(
    tiny, tiny_run, tmp_path, monkeypatch
) -> None:
    """Whatever made it so: what is not finite in files or states is a bad sample before."""
    cfg = config.compose("train", tiny.overrides(tmp_path / "run", "stage=align"))
    plain = TokenLoss.__call__
    monkeypatch.setattr(TokenLoss, "__call__", lambda *given: plain(*given) * float("nan"))
    monkeypatch.setattr(run_module, "Trainer", Spy)
    with pytest.raises(DataError, match=r"step 1: the loss is not finite; samples c0\d, c0\d"):
        config.build(config.checked(cfg)).run()
    after = dict(Spy.seen.engine.module.named_parameters())
    assert all(torch.equal(after[name], kept) for name, kept in Spy.seen.before.items())
    assert not (tmp_path / "run/align/final").exists()
    assert status(tmp_path / "run")["state"] == "failed"


def test_without_a_cache_the_encoders_run_in_every_step(tiny, tiny_run, tmp_path) -> None:
    given = ("data.cache_dir=null", "stage=align")
    assert main(tiny.overrides(tmp_path, *given)) == ExitCode.DONE
    cached, live = (weights(folder, "align") for folder in (tiny_run, tmp_path))
    for name, tensor in cached.items():
        torch.testing.assert_close(live[name], tensor, rtol=0, atol=1e-3)


def retrained(tiny, folder: Path, regex: str, *more: str):
    cfg = config.compose("train", tiny.overrides(folder, "stage=align", *more))
    more_trains = {"more": {"match": regex, "lr": 1e-2}}
    OmegaConf.update(cfg, "stages.align.trainable", more_trains, merge=True, force_add=True)
    return config.build(config.checked(cfg))


def test_base_weights_that_a_stage_trains_are_saved_and_reach_the_next(tiny, tmp_path) -> None:
    retrained(tiny, tmp_path, r"llm\.net\.model\.norm\.weight").run()
    name = "llm.net.model.norm.weight"
    assert not torch.equal(weights(tmp_path, "align")[name], tiny.model().state_dict()[name])
    assert main(tiny.overrides(tmp_path, "stage=emotion")) == ExitCode.DONE
    assert torch.equal(weights(tmp_path, "emotion")[name], weights(tmp_path, "align")[name])
    loaded = checkpoint.load_model(tmp_path / "emotion/final").state_dict()
    assert torch.equal(loaded[name], weights(tmp_path, "align")[name])


def test_training_an_encoder_on_cached_states_is_refused(tiny, tmp_path) -> None:
    regex = r"encoders\.visual\.net\..*"
    with pytest.raises(ConfigError, match="cache_dir=null"):
        retrained(tiny, tmp_path, regex).run()


def test_a_launcher_that_asks_for_something_else_is_refused(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="2 processes"):
        main(tiny.overrides(tmp_path))
