"""Emotion-Qwen's weights as ours: its forward pass by hand, and names that are not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import layer_norm

from affect_mllm.data.collate import collate
from affect_mllm.models.checkpoint import WEIGHTS, file_hash, load_config, load_model, read_meta
from affect_mllm.models.vlm.native_vlm import NativeVLM
from affect_mllm.tools.app import main
from affect_mllm.tools.importers import lora
from affect_mllm.types import CheckpointError
from tests import tiny_vlm
from tests.tools import other_checkpoints as theirs

PIXELS = ("model.image_pixels=[784,14112]", "model.video_pixels=[784,7056]")


@pytest.fixture(scope="module")
def base(tiny, tmp_path_factory) -> Path:
    return tiny_vlm.build(tiny, tmp_path_factory.mktemp("vlm"))


def vlm(base: Path) -> Any:
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(base, dtype="float32").eval()


@pytest.fixture(scope="module")
def released(base, tmp_path_factory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A folder like the released one, and its tensors."""
    folder = tmp_path_factory.mktemp("released") / "emotion_qwen"
    return folder, theirs.emotion_qwen(vlm(base), folder)


def run(folder: Path, base: Path, out: Path, *more: str) -> int:
    given = ["model.dtype=float32", "model.attention=sdpa", *PIXELS, *more]
    with pytest.raises(SystemExit) as left:
        main(["import", "emotion_qwen", str(folder), *given, "--llm", str(base), "--out", str(out)])
    return int(left.value.code or 0)


def weights_of(released, name: str) -> torch.Tensor:
    return released[1][name]


class Mixed(torch.nn.Module):
    """In the merger's place: both compressors of one picture's states, weighted by the gate."""

    def __init__(self, merger: Any, weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.merger, self.weights = merger, weights

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        found = self.weights
        return x @ found[f"gatenet.{name}.weight"].T + found[f"gatenet.{name}.bias"]

    def gate(self, mean: torch.Tensor) -> torch.Tensor:
        """Of one state, attention is what its value and output maps make of it."""
        found, wide = self.weights, len(mean)
        value = found["gatenet.attention.in_proj_weight"][2 * wide :] @ mean
        value = value + found["gatenet.attention.in_proj_bias"][2 * wide :]
        seen = self.linear("attention.out_proj", value)
        for name in ("hidden", "output"):
            high = self.linear(name, seen).relu()
            scale, shift = (found[f"gatenet.{name}_norm.{key}"] for key in ("weight", "bias"))
            seen = layer_norm(high, high.shape, scale, shift)
        return seen

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        found, made = self.weights, []
        for expert in ("general", "emotion"):
            prefix = f"{expert}compressor."
            own = {n.removeprefix(prefix): t for n, t in found.items() if n.startswith(prefix)}
            made.append(torch.func.functional_call(self.merger, own, (states,)))
        general, emotion = self.gate(states.mean(0))
        return general * made[0] + emotion * made[1]


def original(base: Path, weights: dict[str, torch.Tensor]) -> Any:
    """The base with the released tower and LLM, and the mixture in its merger's place."""
    net = vlm(base)
    theirs_of = {name: name for name in net.state_dict() if ".merger." not in name}
    for name in theirs_of:
        key = name.replace("model.visual.", "vpm.").replace("model.language_model.", "llm.")
        theirs_of[name] = key
    net.load_state_dict({n: weights[key] for n, key in theirs_of.items()}, strict=False)
    net.model.visual.merger = Mixed(net.model.visual.merger, weights)
    return net


def asked(net: Any, model: NativeVLM, example: Any) -> torch.Tensor:
    """transformers' logits of one example with a picture."""
    ids = torch.tensor([list(example.input_ids)])
    picture = example.media["image"]
    rows = torch.from_numpy(picture.values)[None]
    return net(
        input_ids=ids,
        mm_token_type_ids=(ids == net.config.image_token_id).int(),
        pixel_values=model._tower.patches(rows, [picture.grid]),
        image_grid_thw=torch.tensor([picture.grid]),
    ).logits[0]


@torch.no_grad()
def test_the_forward_pass_is_the_one_that_is_known(tiny, base, released, tmp_path, capsys) -> None:
    folder, weights = released
    assert run(folder, base, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert f"{len(weights)} tensors mapped" in said
    assert "begin anew" in said, "LoRA, of which the folder has none"
    model = load_model(tmp_path / "out")
    assert isinstance(model, NativeVLM)
    examples = tiny_vlm.examples(tiny, model, ("wide", "high"))
    found = model(collate(examples, pad_id=0), lambda m, _, hidden: m.llm.logits(hidden.states))
    net = original(base, weights)
    for row, example in enumerate(examples):
        expected = asked(net, model, example)
        got = found[row, : len(example)]
        assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()
    before = asked(vlm(base), model, examples[0])
    assert (before - asked(net, model, examples[0])).abs().max() > 1e-2


def test_what_equals_the_base_is_not_kept_twice(base, released, tmp_path, capsys) -> None:
    """As of a model whose tower stayed frozen."""
    folder, weights = tmp_path / "frozen", dict(released[1])
    state = vlm(base).state_dict()
    tower = {n: t for n, t in state.items() if "model.visual." in n and ".merger." not in n}
    weights |= {name.replace("model.visual.", "vpm."): tensor for name, tensor in tower.items()}
    folder.mkdir()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert run(folder, base, tmp_path / "out") == 0
    assert f"{len(tower)} equal to the pretrained ones" in capsys.readouterr().out
    kept = load_file(tmp_path / "out" / WEIGHTS)
    assert not any(name.startswith("encoders.") for name in kept)
    assert any(name.startswith("llm.net.lm_head") for name in kept)


def test_an_adapter_stands_beside_the_llm_and_replaces_what_it_kept(
    base, released, tmp_path, capsys
) -> None:
    folder, weights = tmp_path / "whole", released[1]
    folder.mkdir()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    made = {"base_model.model.gatenet.hidden.bias": torch.full((12,), 0.5)}
    for number in range(2):
        at = f"base_model.model.llm.layers.{number}.self_attn"
        for name in ("q_proj", "k_proj"):
            high = len(weights[f"llm.layers.{number}.self_attn.{name}.weight"])
            made[f"{at}.{name}.lora_A.weight"] = torch.randn(3, 32)
            made[f"{at}.{name}.lora_B.weight"] = torch.randn(high, 3)
    save_file(made, adapter / "model.safetensors")
    (adapter / "adapter_config.json").write_text(json.dumps({"lora_alpha": 9, "r": 3}))
    assert run(folder, base, tmp_path / "out", "--adapter", str(adapter)) == 0
    said = capsys.readouterr().out
    assert "begin anew" not in said
    assert "alpha" not in said, "it is in the adapter's file"
    made_of = load_config(tmp_path / "out").model.lora
    assert (made_of.r, made_of.lora_alpha) == (3, 9)
    assert list(made_of.target_modules) == ["k_proj", "q_proj"]
    kept = load_file(tmp_path / "out" / WEIGHTS)
    assert torch.equal(kept["compressors.visual.gate.hidden.bias"], torch.full((12,), 0.5))
    (name,) = (n for n in kept if "layers.1" in n and "q_proj.lora_B" in n)
    there = made["base_model.model.llm.layers.1.self_attn.q_proj.lora_B.weight"]
    assert torch.equal(kept[name], there)
    origin = read_meta(tmp_path / "out")["lineage"][0]["source"]
    hashes = {"model.safetensors": folder, "adapter/model.safetensors": adapter}
    assert origin["files"] == {n: file_hash(at / "model.safetensors") for n, at in hashes.items()}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "list"),
        ("{", "an object, as peft writes it"),
        ("\udcff", "an object, as peft writes it"),
        ('{"use_rslora": true, "r": 3}', "use_rslora: true"),
        ('{"use_dora": true, "alpha_pattern": {"q_proj": 4}}', "use_dora: true, alpha_pattern: {"),
        ('{"rank_pattern": {"q_proj": 2}}', "rank_pattern: {"),
        ('{"lora_alpha": "nine"}', "lora_alpha: 'nine'"),
    ],
)
def test_an_adapters_settings_that_are_none_or_others_are_refused(tmp_path, text, said) -> None:
    path = tmp_path / "adapter_config.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError) as refused:
        lora.saved_alpha(tmp_path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)


def test_an_adapters_alpha_is_what_peft_saves(tmp_path) -> None:
    from peft import LoraConfig

    assert lora.saved_alpha(tmp_path) is None
    LoraConfig(r=3, lora_alpha=9, target_modules=["q_proj"]).save_pretrained(tmp_path)
    assert lora.saved_alpha(tmp_path) == 9
    LoraConfig(r=3, use_rslora=True, target_modules=["q_proj"]).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="use_rslora"):
        lora.saved_alpha(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.update({"gatenet.mlp.0.bias": torch.zeros(4)}), "gatenet.mlp.0.bias [4]"),
        (lambda w: w.update({"vpm.merger.ln_q.bias": torch.zeros(4)}), "vpm.merger.ln_q.bias [4]"),
        (lambda w: w.pop("emotioncompressor.mlp.2.bias"), "experts.emotion.merger.mlp.2.bias"),
        (lambda w: w.pop("gatenet.output_norm.weight"), "gate.output_norm.weight"),
        (lambda w: w.pop("llm.layers.1.mlp.up_proj.weight"), "layers.1.mlp.up_proj.weight"),
        (lambda w: w.pop("vpm.blocks.0.norm1.weight"), "visual.net.blocks.0.norm1.weight"),
        (
            lambda w: w.update({"generalcompressor.mlp.0.bias": torch.zeros(3)}),
            "experts.general.merger.mlp.0.bias is [3]",
        ),
    ],
)
def test_unknown_missing_and_misshapen_parameters_are_named(
    base, released, tmp_path, capsys, change, said: str
) -> None:
    weights = dict(released[1])
    change(weights)
    folder = tmp_path / "changed"
    folder.mkdir()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert run(folder, base, tmp_path / "out") == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_names_that_are_not_public_can_be_told(base, released, tmp_path, capsys) -> None:
    folder = tmp_path / "other_names"
    theirs.emotion_qwen(vlm(base), folder, gate="gatenet.layers.")
    assert run(folder, base, tmp_path / "refused") == 1
    assert "--map THEIRS=OURS" in " ".join(capsys.readouterr().err.split())
    gate = "compressors.visual.gate."
    told = ("--map", f"gatenet.layers.={gate}")
    told += ("--map", f"gatenet.layers.attention.in_proj_={gate}attention.in_proj.")
    assert run(folder, base, tmp_path / "out", *told) == 0
    assert run(released[0], base, tmp_path / "same") == 0
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("out", "same"))
    assert set(one) == set(other)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_folder_without_safetensors_is_refused(base, tmp_path, capsys) -> None:
    (tmp_path / "model.bin").write_bytes(b"not read")
    assert run(tmp_path, base, tmp_path / "out") == 1
    assert "no .safetensors file" in capsys.readouterr().err
    assert run(tmp_path / "none", base, tmp_path / "out") == 1
    assert "no such folder" in capsys.readouterr().err
