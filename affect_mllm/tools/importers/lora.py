"""LoRA in other projects' files: peft's names of it, and its settings as the weights show them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

Tensors = Mapping[str, torch.Tensor]


def named(weights: Tensors) -> dict[str, torch.Tensor]:
    """The weights with the adapter's name, which peft 0.2 lacks and a saved adapter leaves out."""
    return {
        re.sub(r"\.(lora_[AB])\.weight$", r".\1.default.weight", name): tensor
        for name, tensor in weights.items()
    }


def changes(weights: Tensors, where: str, alpha: float | None = None) -> list[str]:
    """Overrides of the LoraConfig at `where`: rank and layers of `named` weights, and alpha if it
    is known, which no shape shows. Empty where there is no LoRA.
    """
    parts = {name: name.split(".") for name in weights if ".lora_A." in name}
    if not parts:
        return []
    rank = len(weights[next(iter(parts))])
    layers = sorted({each[each.index("lora_A") - 1] for each in parts.values()})
    told = [] if alpha is None else [f"{where}.lora_alpha={alpha}"]
    return [f"{where}.r={rank}", f"{where}.target_modules=[{','.join(layers)}]", *told]
