"""The experiment `emotion_qwen` on tiny weights: what each stage trains, and using its result."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import affect_mllm
from affect_mllm.data.collate import collate
from affect_mllm.models import checkpoint
from affect_mllm.models.vlm.native_vlm import NativeVLM
from affect_mllm.tools.predict import predict
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.main import main
from affect_mllm.train.plan.optim import AdamW, build
from affect_mllm.train.plan.trainable import Group, select
from affect_mllm.types import ConfigError
from tests import tiny_vlm as parts

GATE_AND_EMOTION = {
    "gate": Group(r"compressors\.visual\.gate\..*", 1e-2),
    "emotion_expert": Group(r"compressors\.visual\.experts\.emotion\..*", 1e-2),
}


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory) -> Path:
    return parts.build(tiny, tmp_path_factory.mktemp("vlm"))


@pytest.fixture(scope="module")
def run(tiny, folder, tmp_path_factory) -> Path:
    """The run directory of all three stages, through the real command."""
    out = tmp_path_factory.mktemp("run")
    stages = [
        f"stages.{name}.{key}"
        for name in ("vlm_general", "vlm_emotion", "vlm_instruct")
        for key in ("steps=2", "batch_size=4", "save_every=50")
    ]
    settings = [
        "experiment=emotion_qwen",
        f"run_dir={out}",
        f"data.manifest={tiny.root / 'manifest.jsonl'}",
        "data.reader.sampling.frames=3",
        "launch.precision=fp32",
        "launch.workers=0",
        "model.lora.r=2",
    ]
    assert main([*settings, *parts.overrides(folder), *stages]) == 0
    return out


def weights(run: Path, stage: str, part: str) -> dict[str, torch.Tensor]:
    every = load_file(run / f"vlm_{stage}" / "final" / "trainable.safetensors")
    found = {name: tensor for name, tensor in every.items() if part in name}
    assert found
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_each_stage_changes_its_own_part_alone(run) -> None:
    order = [("general", "emotion"), ("emotion", "instruct")]
    for before, after in order:
        general = [weights(run, stage, ".experts.general.") for stage in (before, after)]
        assert same(*general), f"{after} changed the general expert"
    emotion = [weights(run, stage, ".experts.emotion.") for stage in ("emotion", "instruct")]
    assert same(*emotion)
    gates = [weights(run, stage, ".gate.") for stage in ("general", "emotion", "instruct")]
    assert same(gates[0], gates[1])
    assert not same(gates[1], gates[2])
    assert not same(*(weights(run, stage, "lora_B") for stage in ("emotion", "instruct")))


def test_the_emotion_expert_begins_as_a_copy_of_the_general_one(run) -> None:
    """Two steps at 1e-6 move it by a hair; the general one was moved by stage 1 before."""
    general = weights(run, "general", ".experts.general.")
    for name, tensor in weights(run, "emotion", ".experts.emotion.").items():
        start = general[name.replace("emotion", "general")]
        assert (tensor - start).abs().max() <= 1e-5
    assert not same(
        weights(run, "general", ".experts.general."),
        {
            name.replace("emotion", "general"): tensor
            for name, tensor in weights(run, "general", ".experts.emotion.").items()
        },
    )


def test_training_gate_and_one_expert_leaves_the_other_bit_for_bit(tiny, folder) -> None:
    model = parts.model(folder).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    groups = select(model, GATE_AND_EMOTION)
    optimizer = build(groups, GATE_AND_EMOTION, weight_decay=0.1, settings=AdamW())
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"]
    batch = collate(parts.examples(tiny, model, ("wide", "video", "words")), pad_id=0)
    objective = Objective({"token": TokenLoss()})
    for _ in range(2):
        model(batch, objective).losses["token"].backward()
        optimizer.step()
        optimizer.zero_grad()
    changed = {n for n, tensor in model.state_dict().items() if not torch.equal(tensor, before[n])}
    assert changed
    assert all(".gate." in name or ".experts.emotion." in name for name in changed)
    assert any(".gate." in name for name in changed)


def test_its_checkpoint_answers_about_a_clip(tiny, run) -> None:
    final = run / "vlm_instruct" / "final"
    model = checkpoint.load_model(final)
    assert isinstance(model, NativeVLM)
    model = affect_mllm.load(final)
    found = predict(model, tiny.root / "clips" / "c00.mp4", subtitle="well", question="What?")
    assert found["modalities"] == ["frame", "text"]
    assert set(found["gate"]["frame"]) == {"general", "emotion"}


def test_a_cache_is_refused_in_words(tiny, folder, tmp_path) -> None:
    with pytest.raises(ConfigError, match="cache_dir"):
        main(
            [
                "experiment=emotion_qwen",
                f"run_dir={tmp_path}",
                f"data.manifest={tiny.root / 'manifest.jsonl'}",
                f"data.cache_dir={tmp_path / 'features'}",
                "launch.workers=0",
                "launch.precision=fp32",
                *parts.overrides(folder),
            ]
        )
