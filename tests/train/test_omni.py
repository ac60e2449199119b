"""The experiment `omni_hybrid` on tiny weights: layouts, resuming, what is done with its result."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import affect_mllm
from affect_mllm.eval.main import main as evaluate
from affect_mllm.models import checkpoint
from affect_mllm.tools.export import export
from affect_mllm.tools.predict import predict
from affect_mllm.train.main import main as train
from tests import tiny_omni, tiny_vlm
from tests.processes import finished
from tests.tools import exports
from tests.train import omni_layouts, resuming

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
KINDS = ("qwen2_5_omni", "qwen3_omni_moe") if os.environ.get("AFFECT_SOAK") else ("qwen2_5_omni",)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategies", [("ddp", "fsdp2"), ("zero3",)], ids="+".join)
def test_two_processes_do_what_one_does(tiny, tmp_path, kind: str, strategies) -> None:
    """Also where one has words alone and the other has pictures and sounds of all lengths."""
    folder, out = tiny_omni.build(tmp_path, kind), tmp_path / "out.json"
    omni_layouts.main(str(tiny.root), str(folder), str(out), "single")
    (alone,) = json.loads(out.read_text()).values()
    assert min(alone["grad_norm"]) > 0
    worker = ("-m", "tests.train.omni_layouts", str(tiny.root), str(folder), str(out))
    code, said = finished([*TORCHRUN, *worker, *strategies], deadline_s=900)
    assert code == 0, said
    found = json.loads(out.read_text())
    assert set(found) == set(strategies)
    for name, got in found.items():
        assert got["loss"] == pytest.approx(alone["loss"], rel=1e-6, abs=0), name
        assert got["grad_norm"] == pytest.approx(alone["grad_norm"], rel=1e-6, abs=0), name
        assert got["weights"] == pytest.approx(alone["weights"], rel=1e-4, abs=1e-4), name


STAGES = ("omni_general", "omni_emotion", "omni_instruct")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_omni.build(tmp_path_factory.mktemp("omni"), "qwen2_5_omni")


def overrides(tiny, folder: Path, run_dir: Path, *more: str) -> list[str]:
    short = ("steps=2", "batch_size=4", "save_every=50")
    return [
        "experiment=omni_hybrid",
        f"run_dir={run_dir}",
        f"data.manifest={tiny.root / 'manifest.jsonl'}",
        "data.reader.sampling.kind=uniform",
        "data.reader.sampling.frames=3",
        "launch.precision=fp32",
        "launch.workers=0",
        "model.lora.r=2",
        *tiny_vlm.overrides(folder),
        *(f"stages.{name}.{key}" for name in STAGES for key in short),
        *more,
    ]


@pytest.fixture(scope="module")
def run(tiny, folder, tmp_path_factory) -> Path:
    """The run directory of all three stages, through the real command."""
    out = tmp_path_factory.mktemp("run")
    assert train(overrides(tiny, folder, out)) == 0
    return out


def weights(run: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_file(run / stage / "final" / checkpoint.WEIGHTS)


def changed(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in other.items() if not torch.equal(one[name], tensor)}


def test_each_stage_changes_its_own_parts_of_pictures_and_sounds(run) -> None:
    general, emotion, instruct = (weights(run, stage) for stage in STAGES)
    moved = changed(general, emotion)
    for compressor in ("visual", "audio"):
        assert any(f"{compressor}.experts.emotion." in name for name in moved)
        twins = [name for name in emotion if f"{compressor}.experts.emotion." in name]
        for name in twins:  # two steps at 1e-6 from a copy of the general one
            start = general[name.replace(".emotion.", ".general.")]
            assert (emotion[name] - start).abs().max() <= 1e-5
    assert all(".experts.emotion." in name for name in moved)
    moved = changed(emotion, instruct)
    assert any("lora_B" in name for name in moved)
    assert any("audio.gate." in name for name in moved)
    assert not any(".experts." in name for name in moved)


def test_a_run_that_is_stopped_goes_on_bit_for_bit(tiny, folder, run, tmp_path) -> None:
    given = overrides(tiny, folder, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        resuming.stop_after(1, patch, stage="omni_instruct")
        assert train(given) == 75
    assert train(given) == 0
    for stage in STAGES:
        one, two = (each / stage / "final" / checkpoint.WEIGHTS for each in (run, tmp_path))
        assert one.read_bytes() == two.read_bytes(), stage


def test_its_checkpoint_answers_about_a_clip_that_it_sees_and_hears(tiny, run) -> None:
    model = affect_mllm.load(run / "omni_instruct" / "final")
    found = predict(model, tiny.root / "clips" / "c00.mp4", subtitle="well", question="What?")
    assert found["modalities"] == ["frame", "audio", "text"]
    assert set(found["gate"]) == {"frame", "audio"}
    assert set(found["gate"]["audio"]) == {"general", "emotion"}


@pytest.mark.parametrize("by", ["generation", "likelihood"])
def test_it_is_evaluated_by_subsets_and_with_sounds_of_others(tiny, run, tmp_path, by) -> None:
    given = [
        f"checkpoint={run / 'omni_instruct' / 'final'}",
        "benchmark=synthetic",
        f"manifest={tiny.root / 'manifest.jsonl'}",
        f"run_dir={tmp_path}",
        "subsets=[face+audio+text,audio]",
        "swaps=[audio]",
        f"answer_by={by}",
        "workers=0",
        "max_new_tokens=4",
    ]
    assert evaluate(given) == 0
    rows = {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in tmp_path.rglob("*predictions.jsonl")
    }
    kinds = {tuple(row["modalities"]) for each in rows.values() for row in each}
    assert ("frame", "audio", "text") in kinds
    assert ("audio",) in kinds
    assert any("donor" in row for each in rows.values() for row in each)
    gates = [row.get("gate", {}) for each in rows.values() for row in each]
    assert any("audio" in gate for gate in gates) == (by == "generation")


def test_exported_it_answers_the_same(tiny, tmp_path) -> None:
    made = exports.checkpoint(tmp_path / "made", exports.settings(tiny, tmp_path, "qwen2_5_omni"))
    proof = export(made, tmp_path / "exported")
    assert max(proof.exported, proof.merge) <= 1e-4
    assert proof.decided > proof.positions / 2 > 10, "the proof shows little"
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "exported").eval()
    processor = AutoProcessor.from_pretrained(tmp_path / "exported")
    asked = exports.prompts(tiny)[:5]
    inputs = processor(
        [each["question"] for each in asked],
        media=[each["media"] for each in asked],
        subtitle=[each["subtitle"] for each in asked],
    )
    ids = model.generate(**inputs, max_new_tokens=8)
    texts = [text.strip() for text in processor.batch_decode(ids, skip_special_tokens=True)]
    assert texts == exports.answers(made, asked)
