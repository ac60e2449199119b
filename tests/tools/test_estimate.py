"""The estimate of a step against torch's own accounting of that step, and describe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from affect_mllm.data.collate import collate
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.pretrained import weightless
from affect_mllm.tools.app import main
from affect_mllm.tools.describe import describe
from affect_mllm.tools.estimate import RESERVED, estimate, on_device, read_bytes
from affect_mllm.tools.rehearsal import Account, Shape, rehearse
from affect_mllm.tools.tiny.command import tiny as tiny_command
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.plan.optim import AdamW, build
from affect_mllm.train.plan.speed import Speed
from affect_mllm.train.plan.trainable import Group, select
from affect_mllm.types import CheckpointError, ConfigError, Sample
from tests import tiny as parts
from tests import tiny_omni, tiny_vlm
from tests.tools.tracker import Tracker

TRAINABLE = {
    "lora": Group(r"llm\..*lora_.*", 1e-3),
    "compressors": Group(r"compressors\..*", 1e-3),
}
MIXED = [("face", "audio", "text"), ("audio", "text"), ("face",)]


def optimizer_of(model: AffectMLLM, *, encoders: bool = False) -> torch.optim.Optimizer:
    trainable = {**TRAINABLE, "encoders": Group(r"encoders\..*", 1e-3)} if encoders else TRAINABLE
    groups = select(model.train(), trainable)
    return build(groups, trainable, weight_decay=0.1, settings=AdamW(fused=False))


def accounted(
    model: AffectMLLM,
    batch: Any,
    *,
    encoders: bool = False,
    autocast: torch.dtype | None = None,
    inputs: bool = False,
) -> tuple[int, int]:
    """Peak bytes and FLOPs of a real step, by torch; with `inputs` the batch's media count too."""
    optimizer = optimizer_of(model, encoders=encoders)
    memory, flops = Tracker(), FlopCounterMode(display=False)
    given = [m.values for m in batch.media.values()] if inputs else []  # they lie on the device
    memory.track_external(model, optimizer, *given)

    def step() -> None:
        with torch.autocast("cpu", autocast, enabled=autocast is not None):
            loss = model(batch, Objective({"lm": TokenLoss()})).losses["lm"]
        loss.backward()
        del loss
        optimizer.step()
        optimizer.zero_grad()

    with memory:
        for _ in range(2):
            memory.reset_mod_stats()
            step()
    with flops:  # by itself: its hooks hold on to what a checkpointed layer computes again
        step()
    peak = memory.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]
    return peak, flops.get_total_flops()


@pytest.mark.parametrize(
    ("kind", "names", "row_tokens", "attention", "autocast"),
    [
        ("encoders", MIXED, 400, "eager", None),
        ("encoders", MIXED * 6, 0, "eager", None),
        ("encoders", MIXED * 6, 400, "eager", torch.bfloat16),
        ("encoders", MIXED * 6, 400, "sdpa", torch.bfloat16),
        ("encoders", MIXED * 6, 400, "auto", None),
        ("encoders", MIXED * 6, 400, "auto", torch.bfloat16),
        ("qwen2_5_vl", ("wide", "video", "high"), 400, "eager", None),
        ("qwen2_5_vl", ("video", "high", "video", "wide", "video"), 0, "eager", None),
        ("qwen2_5_vl", ("video", "high", "video", "wide", "video"), 1000, "sdpa", None),
        ("qwen2_5_vl", ("video", "high", "video", "wide"), 1000, "sdpa", torch.bfloat16),
        ("qwen2_5_vl", ("video", "high", "video", "wide", "video"), 1000, "auto", None),
        ("qwen3_vl", ("wide", "video", "high"), 400, "eager", None),
        ("qwen3_vl", ("video", "high", "video", "wide", "video"), 1000, "sdpa", None),
        ("qwen3_vl", ("video", "high", "video", "wide"), 1000, "sdpa", torch.bfloat16),
        ("qwen3_vl", ("video", "high", "video", "wide", "video"), 0, "auto", None),
    ],
)
def test_it_is_within_a_tenth_of_torchs_accounting(
    tiny,
    tmp_path,
    kind: str,
    names: Any,
    row_tokens: int,
    attention: str,
    autocast: torch.dtype | None,
) -> None:
    def build() -> AffectMLLM:
        if kind == "encoders":
            return tiny.model(attention)
        return tiny_vlm.model(tiny_vlm.build(tiny, tmp_path, kind), attention=attention)

    real = build()
    maker = parts.examples if kind == "encoders" else tiny_vlm.examples
    batch = collate(maker(tiny, real, names), pad_id=0, row_tokens=row_tokens)
    items = {name: tuple(media.mask.shape) for name, media in batch.media.items()}
    grids = {name: media.grids for name, media in batch.media.items() if media.grids}
    supervised = int((batch.labels[:, 1:] != -100).sum())
    with torch.device("meta"), weightless():
        shadow = build()
    lengths = batch.borders.lengths
    shape = Shape(*batch.input_ids.shape, supervised, items, grids, lengths=lengths)
    found = rehearse(shadow, shape, optimizer_of(shadow), autocast=autocast, device="cpu")
    peak, flops = accounted(real, batch, autocast=autocast)
    assert found.peak == pytest.approx(peak, rel=0.1)
    if attention != "sdpa":  # torch does not count the CPU's fused attention
        assert found.flops == pytest.approx(flops, rel=0.1)


@pytest.mark.parametrize(
    ("kind", "names", "autocast"),
    [
        ("encoders", MIXED * 6, None),
        ("encoders", MIXED * 6, torch.bfloat16),
        ("qwen2_5_vl", ("video", "high", "video", "wide", "video"), None),
        ("qwen3_vl", ("video", "high", "video", "wide", "video"), torch.bfloat16),
    ],
)
def test_what_is_computed_again_is_not_kept(tiny, tmp_path, kind, names, autocast) -> None:
    """Checkpointed layers against torch's accounting, and against the same step without."""

    def build() -> AffectMLLM:
        if kind == "encoders":
            return tiny.model("auto")
        return tiny_vlm.model(tiny_vlm.build(tiny, tmp_path, kind), attention="auto")

    real = build()
    maker = parts.examples if kind == "encoders" else tiny_vlm.examples
    batch = collate(maker(tiny, real, names), pad_id=0, row_tokens=1000)
    items = {name: tuple(media.mask.shape) for name, media in batch.media.items()}
    grids = {name: media.grids for name, media in batch.media.items() if media.grids}
    supervised = int((batch.labels[:, 1:] != -100).sum())
    shape = Shape(*batch.input_ids.shape, supervised, items, grids, lengths=batch.borders.lengths)
    with torch.device("meta"), weightless():
        shadow = build()
    optimizer = optimizer_of(shadow)
    whole = rehearse(shadow, shape, optimizer, autocast=autocast, device="cpu")
    Speed(gradient_checkpointing=("llm",)).rehearsed(shadow, autocast)
    found = rehearse(shadow, shape, optimizer, autocast=autocast, device="cpu")
    Speed(gradient_checkpointing=("llm",)).apply(real)
    peak, flops = accounted(real, batch, autocast=autocast)
    assert found.peak == pytest.approx(peak, rel=0.1)
    assert found.flops == pytest.approx(flops, rel=0.1)
    assert found.activations < 0.8 * whole.activations
    Speed().rehearsed(shadow, autocast)
    again = rehearse(shadow, shape, optimizer, autocast=autocast, device="cpu")
    assert again.flops == whole.flops
    assert again.activations == pytest.approx(whole.activations, rel=0.05)


@pytest.mark.parametrize("trained", [False, True])
def test_encoders_that_run_in_the_step_are_counted(tiny, trained: bool) -> None:
    """Pictures and sounds of one length, as of a nominal clip; eager, which torch counts."""

    def build() -> AffectMLLM:
        made = tiny.model("eager")
        made.encoders["audio"].net.set_attn_implementation("eager")
        return made

    real = build()
    maker, rng = tiny.maker(real), np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 70, 80, 3), dtype=np.uint8)
    sound = rng.standard_normal(8000).astype(np.float32)
    cut = real.transforms()
    media = {"face": cut["face"](pictures), "audio": cut["audio"](sound)}
    examples = [
        maker.make(Sample(str(i), Path()), media, question="What?", answer="happy", encoded=False)
        for i in range(3)
    ]
    batch = collate(examples, pad_id=0)
    states = {
        name: (3, real.encode(name, items).mask.shape[1]) for name, items in batch.media.items()
    }
    supervised = int((batch.labels[:, 1:] != -100).sum())
    with torch.device("meta"), weightless():
        shadow = build()
    inputs = {name: item.shape for name, item in media.items()}
    shape = Shape(*batch.input_ids.shape, supervised, states, {}, inputs)
    found = rehearse(shadow, shape, optimizer_of(shadow, encoders=trained))
    cached = rehearse(shadow, replace(shape, inputs={}), optimizer_of(shadow))
    peak, flops = accounted(real, batch, encoders=trained)
    assert found.peak == pytest.approx(peak, rel=0.1)
    assert found.flops == pytest.approx(flops, rel=0.1)
    assert cached.flops < 0.9 * flops, "the encoders are too small to be seen here"


@pytest.mark.parametrize(
    ("kind", "dtype"), [("qwen2_5_omni", "float32"), ("qwen3_omni_moe", "bfloat16")]
)
@pytest.mark.parametrize("checkpointed", [False, True])
def test_an_omni_models_towers_are_counted(
    tiny, tmp_path, kind: str, dtype: str, checkpointed: bool
) -> None:
    """Videos with their sound, of one length each, as of a nominal clip."""
    folder = tiny_omni.build(tmp_path, kind)

    def build() -> AffectMLLM:
        return tiny_vlm.model(folder, attention="eager", dtype=dtype)

    real = build()
    batch = collate(tiny_omni.examples(tiny, real, ("sounding",) * 3), pad_id=0)
    heard, seen = batch.media["audio"], batch.media["frame"]
    sounds = real.encode("audio", heard).mask.shape
    items = {"frame": tuple(seen.mask.shape), "audio": tuple(sounds)}
    supervised = int((batch.labels[:, 1:] != -100).sum())
    with torch.device("meta"), weightless():
        shadow = build()
    inputs = {"audio": tuple(heard.values.shape[1:])}
    size = tuple(batch.input_ids.shape)
    shape = Shape(*size, supervised, items, {"frame": seen.grids}, inputs)
    again = Speed(gradient_checkpointing=("llm",) if checkpointed else ())
    again.rehearsed(shadow, None)
    again.apply(real)
    found = rehearse(shadow, shape, optimizer_of(shadow))
    peak, flops = accounted(real, batch, inputs=True)
    assert found.peak == pytest.approx(peak, rel=0.1)
    assert found.flops == pytest.approx(flops, rel=0.1)


@pytest.mark.parametrize("kind", ["qwen2_5_omni", "qwen3_omni_moe"])
def test_an_omni_experiment_is_described_and_estimated(tiny, tmp_path, kind: str) -> None:
    """In bf16, in which torch knows the shapes of a mixture of experts."""
    folder = tiny_omni.build(tmp_path, kind)
    for file in folder.glob("*.safetensors"):
        file.unlink()  # no weights are needed
    overrides = ["experiment=omni_hybrid", *tiny_vlm.overrides(folder), "model.dtype=bfloat16"]
    found = describe(overrides)
    modules = {name: row["parameters"] for name, row in found["modules"].items()}
    assert sum(modules.values()) == found["parameters"]
    general = [modules[f"compressors.{name}.experts.general"] for name in ("visual", "audio")]
    assert found["stages"]["omni_general"]["trainable"] == sum(general)
    assert found["tokens"]["audio"] > 1

    def flops(clip_s: float) -> int:
        given = [*overrides, "stage=omni_instruct", "stages.omni_instruct.batch_size=2"]
        made = estimate(given, clip_s=clip_s, text=(40, 8), processes=1)
        return made["stages"]["omni_instruct"]["account"]["flops"]

    assert flops(6.0) > 1.5 * flops(2.0)


def test_a_strategy_divides_what_it_splits() -> None:
    account = Account(weights=800, gradients=40, optimizer=80, activations=100, peak=1020, flops=1)
    got = {
        name: on_device(account, name, 4) for name in ("single", "ddp", "zero1", "zero2", "zero3")
    }
    assert got == {"single": 1020, "ddp": 1020, "zero1": 960, "zero2": 930, "zero3": 330}
    whole = {
        name: on_device(account, name, 4, whole=True)
        for name in ("zero2", "zero3", "zero3_offload", "fsdp2")
    }
    assert whole == {"zero2": 930, "zero3": 1020, "zero3_offload": 800, "fsdp2": 1020}


def vlm_overrides(tiny, tmp_path: Path, kind: str = "qwen2_5_vl") -> list[str]:
    folder = tiny_vlm.build(tiny, tmp_path, kind)
    for file in folder.glob("*.safetensors"):
        file.unlink()  # no weights are needed
    chosen = ["model=qwen3_vl_8b"] if kind == "qwen3_vl" else []
    plain = ["speed.gradient_checkpointing=[]", "launch.budget.tokens=null"]
    return ["experiment=emotion_qwen", *chosen, *plain, *tiny_vlm.overrides(folder)]


def test_longer_clips_and_larger_batches_take_more(tiny, tmp_path) -> None:
    overrides = vlm_overrides(tiny, tmp_path)

    def activations(clip_s: float, batch: int) -> int:
        stage = ["stage=vlm_instruct", f"stages.vlm_instruct.batch_size={batch}"]
        found = estimate([*overrides, *stage], clip_s=clip_s, text=(40, 8), processes=1)
        return found["stages"]["vlm_instruct"]["account"]["activations"]

    base = activations(2.0, 2)
    assert activations(6.0, 2) > 1.3 * base
    assert activations(2.0, 8) > 2 * base


@pytest.mark.parametrize("stage", ["vlm_instruct", "omni_instruct"])
def test_budgets_and_what_fits(tiny, tmp_path, stage: str) -> None:
    """A micro-batch holds what its budget admits; the largest one that fits is found."""
    model = vlm_overrides(tiny, tmp_path)
    if stage == "omni_instruct":
        folder = tiny_omni.build(tmp_path, "qwen2_5_omni")
        unbound = ["launch.budget.tokens=null", "launch.budget.units=null"]
        model = ["experiment=omni_hybrid", *tiny_vlm.overrides(folder), *unbound]
    overrides = [*model, f"stage={stage}", "launch=zero2"]

    def found(*more: str, **fit: int) -> dict[str, Any]:
        given = estimate([*overrides, *more], clip_s=2.0, text=(40, 8), processes=2, **fit)
        return given["stages"][stage]

    one = found(f"stages.{stage}.batch_size=2")
    assert (one["examples"], one["micro_batches"]) == (1, 1)
    bound = found(f"launch.budget.tokens={3 * one['tokens']}")
    assert (bound["examples"], bound["micro_batches"]) == (3, 6)
    units = found("launch.budget.units=0.5")
    assert units["examples"] < 16
    limit = found("launch.micro_batches=3")["bytes"]["zero2"]  # of six clips
    fits = found(fit=limit + RESERVED)
    assert fits["examples"] == 6
    assert fits["bytes"]["zero2"] <= limit
    assert found(fit=RESERVED)["examples"] == 0


def test_answers_that_a_stage_draws_are_counted(tmp_path) -> None:
    """All that are drawn to a prompt stand behind it, as long as they may be."""
    tiny_command(tmp_path, "demo_reinforce")
    given = ["experiment=tiny_demo_reinforce", f"hydra.searchpath=[{tmp_path / 'conf'}]"]
    drawn = ["stages.reinforce.rollout.answers=5", "stages.reinforce.rollout.max_new_tokens=30"]
    one = [f"stages.{name}.batch_size=1" for name in ("cold_start", "reinforce")]
    found = estimate([*given, *drawn, *one], clip_s=2.0, text=(40, 8), processes=1)["stages"]
    shapes = [found[name]["micro_batch"] for name in ("cold_start", "reinforce")]
    assert shapes[1]["length"] - shapes[0]["length"] == 5 * 30 - 8
    assert [shape["supervised"] for shape in shapes] == [8, 5 * 30]
    assert found["reinforce"]["account"]["flops"] > found["cold_start"]["account"]["flops"]
    many = estimate([*given, *drawn, *one], clip_s=2.0, text=(40, 8), processes=64)["stages"]
    sizes = {name: each["bytes"]["fsdp2"] for name, each in many.items()}
    weights = many["cold_start"]["account"]["weights"]
    assert sizes["reinforce"] >= weights, "all of them are gathered to draw with"
    assert sizes["cold_start"] < weights


def test_checkpointing_of_the_run_and_of_a_stage_is_counted(tiny, tmp_path) -> None:
    """By what is computed twice."""
    overrides = vlm_overrides(tiny, tmp_path)

    def flops(*more: str) -> list[int]:
        given = estimate([*overrides, *more], clip_s=2.0, text=(40, 8), processes=16)
        return [stage["account"]["flops"] for stage in given["stages"].values()]

    plain = flops()
    one = flops("+stages.vlm_emotion.speed.gradient_checkpointing=[llm]")
    every = flops("speed.gradient_checkpointing=[llm]")
    assert [a > b for a, b in zip(one, plain, strict=True)] == [False, True, False]
    assert all(a > b for a, b in zip(every, plain, strict=True))


@pytest.mark.parametrize(("text", "count"), [("80GiB", 80 * 2**30), ("1.5 GB", 1.5e9)])
def test_bytes_are_read(text: str, count: int) -> None:
    assert read_bytes(text) == count
    with pytest.raises(ConfigError, match="80GiB"):
        read_bytes("80")


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
def test_describe_counts_what_is_there(tiny, tmp_path, capsys, kind: str) -> None:
    overrides = vlm_overrides(tiny, tmp_path, kind)
    found = describe(overrides)
    modules = {name: row["parameters"] for name, row in found["modules"].items()}
    assert sum(modules.values()) == found["parameters"]
    general = modules["compressors.visual.experts.general"]
    assert found["stages"]["vlm_general"]["trainable"] == general
    gate, lora = modules["compressors.visual.gate"], modules["llm, LoRA"]
    assert found["stages"]["vlm_instruct"]["trainable"] == gate + lora
    groups = found["stages"]["vlm_instruct"]["groups"]
    assert groups == {
        "lora": {"parameters": lora, "lr": 1e-4},
        "gate": {"parameters": gate, "lr": 1e-4},
    }
    assert found["tokens"]["frame"] > found["tokens"]["image"] > 1
    with pytest.raises(SystemExit) as left:
        main(["describe", *overrides, "--json"])
    assert left.value.code == 0
    assert json.loads(capsys.readouterr().out) == found


def test_a_part_that_cannot_be_reached_is_named(monkeypatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"Qwen/Qwen2\.5-VL-7B-Instruct"):
        describe(["experiment=emotion_qwen"])


def test_without_a_cache_encoders_cost_and_with_one_they_do_not(tiny, tmp_path) -> None:
    def flops(*more: str) -> int:
        overrides = [*tiny.overrides(tmp_path, *more), "stage=instruct"]
        found = estimate(overrides, clip_s=1.0, text=(40, 8), processes=1)
        return found["stages"]["instruct"]["account"]["flops"]

    assert flops("data.cache_dir=null") > 1.1 * flops()
