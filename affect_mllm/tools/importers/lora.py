"""LoRA in other projects' files: peft's names of it, and its settings as the weights show them and
as peft writes them beside an adapter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from affect_mllm.types import CheckpointError, finite

Tensors = Mapping[str, torch.Tensor]
# Settings of peft's that change what an adapter's weights mean, and that no shape shows.
OTHER = ("use_rslora", "use_dora", "alpha_pattern", "rank_pattern")


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


def unsaid(changes: Sequence[str], where: str) -> str:
    """The key of alpha in the LoraConfig at `where`, if `changes` are of LoRA and lack it."""
    key = f"{where}.lora_alpha"
    return key if changes and not any(each.startswith(f"{key}=") for each in changes) else ""


def saved_alpha(adapter: Path) -> float | None:
    """Alpha as peft writes it into an adapter's folder; None where nothing is written.

    Raises CheckpointError for a file that is not peft's, and for settings of another LoRA than
    one rank and alpha for all layers.
    """
    path = adapter / "adapter_config.json"
    if not path.is_file():
        return None
    said = _settings(path)
    other = {name: said[name] for name in OTHER if said.get(name)}
    if other:
        raise CheckpointError(
            str(path),
            ", ".join(f"{name}: {json.dumps(value)}" for name, value in other.items()),
            expected="LoRA with one rank and one alpha for all layers, scaled by alpha / rank",
            fix="merge the adapter into its model with peft, and give the merged folder alone",
        )
    alpha = said.get("lora_alpha")
    if alpha is not None and not finite(alpha):
        raise CheckpointError(str(path), f"lora_alpha: {alpha!r}", expected="a number")
    return alpha


def _settings(path: Path) -> dict[str, Any]:
    expected, fix = "an object, as peft writes it", "copy the adapter's folder again"
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(str(path), f"{error}", expected=expected, fix=fix) from error
    if not isinstance(said, dict):
        raise CheckpointError(str(path), type(said).__name__, expected=expected, fix=fix)
    return said
