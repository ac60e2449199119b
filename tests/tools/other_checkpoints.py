"""Tiny random checkpoints with the modules, shapes and key names of other projects.

`python -m tests.tools.other_checkpoints LLM FILE` writes one of Emotion-LLaMA for an LLM's folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

LLAMA = "llama_model.base_model.model.model.layers"
PICTURE, FEATURE = 24, {"face": 48, "clip": 24, "audio": 24}  # how wide the tiny encoders are
CLASSIFIER = 6  # emotions


def llama_lora(llm: Path, rank: int, layers: Sequence[str] = ("q_proj", "v_proj")) -> nn.Module:
    """LoRA beside some of an LLM's maps, and the buffers that transformers 4.30 keeps."""
    sizes = json.loads((llm / "config.json").read_text())
    wide, head = sizes["hidden_size"], sizes["head_dim"]
    high = {"q_proj": sizes["num_attention_heads"], "v_proj": sizes["num_key_value_heads"]}
    root = nn.Module()
    for number in range(sizes["num_hidden_layers"]):
        at = f"{LLAMA}.{number}.self_attn"
        for name in layers:
            _put(root, f"{at}.{name}.lora_A", nn.Linear(wide, rank, bias=False))
            _put(root, f"{at}.{name}.lora_B", nn.Linear(rank, high[name] * head, bias=False))
        rotary = nn.Module()
        rotary.register_buffer("inv_freq", torch.rand(head // 2))
        _put(root, f"{at}.rotary_emb", rotary)
    return root


def minigpt_v2(llm: Path, *, rank: int = 4) -> nn.Module:
    """What MiniGPT-v2 trains: LoRA, and a map of four patches side by side."""
    torch.manual_seed(7)
    root = llama_lora(llm, rank)
    root.add_module("llama_proj", nn.Linear(4 * PICTURE, _width(llm)))
    return root


def emotion_llama(llm: Path, *, rank: int = 4) -> nn.Module:
    """MiniGPT-v2's, and Emotion-LLaMA's: four more maps, and a classifier that nothing runs."""
    root = minigpt_v2(llm, rank=rank)
    root.add_module("cls_tk_llama_proj", nn.Linear(PICTURE, _width(llm)))
    for number, wide in enumerate(FEATURE.values(), start=1):
        root.add_module(f"feats_llama_proj{number}", nn.Linear(wide, _width(llm)))
    _put(root, "attention.fc_out", nn.Linear(8, CLASSIFIER))
    return root


def save(made: nn.Module, path: Path, **config: Any) -> dict[str, torch.Tensor]:
    """Write a .pth as the runner of both does; its tensors."""
    weights = made.state_dict()
    whole = {
        "model": weights,
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-6, "params": [0]}]},
        "config": {"model": {"arch": "minigpt_v2", "lora_alpha": 16, **config}, "run": {}},
        "scaler": {"scale": 65536.0},
        "epoch": 3,
    }
    torch.save(whole, path)
    return weights


def emotion_qwen(base: nn.Module, folder: Path, *, gate: str = "gatenet.") -> dict[str, Any]:
    """Write a folder like Emotion-Qwen's for a Qwen2.5-VL `base`: its weights moved a little, two
    compressors of its merger's shape and a gate, in two files; its tensors.
    """
    torch.manual_seed(5)
    weights = {
        _emotion_qwen_name(name): tensor + 0.02 * torch.randn_like(tensor)
        for name, tensor in base.state_dict().items()
        if ".merger." not in name
    }
    merger: Any = base.get_submodule("model.visual.merger")
    for expert in ("general", "emotion"):
        for name, tensor in merger.state_dict().items():
            moved = tensor + 0.3 * torch.randn_like(tensor)
            weights[f"{expert}compressor.{name}"] = moved
    wide = merger.ln_q.weight.numel()
    for name, part in {
        "attention": nn.MultiheadAttention(wide, 1),
        "hidden": nn.Linear(wide, 12),
        "hidden_norm": nn.LayerNorm(12),
        "output": nn.Linear(12, 2),
        "output_norm": nn.LayerNorm(2),
    }.items():
        for key, tensor in part.state_dict().items():
            weights[f"{gate}{name}.{key}"] = tensor + 0.5 * torch.randn_like(tensor)
    folder.mkdir()
    names = sorted(weights)
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = folder / f"model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name].contiguous() for name in part}, file, {"format": "pt"})
    return weights


def _emotion_qwen_name(name: str) -> str:
    for ours, theirs in (("model.visual.", "vpm."), ("model.language_model.", "llm.")):
        name = name.replace(ours, theirs)
    return name


def _width(llm: Path) -> int:
    return json.loads((llm / "config.json").read_text())["hidden_size"]


def _put(root: nn.Module, name: str, module: nn.Module) -> None:
    *path, last = name.split(".")
    for each in path:
        if each not in dict(root.named_children()):
            root.add_module(each, nn.Module())
        root = root.get_submodule(each)
    root.add_module(last, module)


if __name__ == "__main__":
    save(emotion_llama(Path(sys.argv[1])), Path(sys.argv[2]))
