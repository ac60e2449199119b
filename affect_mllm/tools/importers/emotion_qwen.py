"""Emotion-Qwen's released weights, a folder of safetensors files.

Its model code is in no repository. Known are the names of its parts (`vpm`, `llm`, `lm_head`,
`generalcompressor`, `emotioncompressor`, `gatenet`: 24DavidHuang/Emotion-Qwen@8c52bf3,
`train/finetune.py`) and what goes in and out of them. Inferred is that `vpm` and `llm` name their
weights as Qwen2.5-VL's tower and text model do, whose classes they are made of, and that a
compressor names its own as the merger of whose shape it is. What is called otherwise is refused by
name, and `--map` says what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from affect_mllm.tools.importers import lora
from affect_mllm.tools.importers.files import read_folder, shards
from affect_mllm.tools.importers.imported import Found, Told
from affect_mllm.tools.importers.names import Names

PROJECT = "Emotion-Qwen"
COMPRESSOR = "compressors.visual."
GATE = f"{COMPRESSOR}gate."
MAPS = ("hidden", "hidden_norm", "output", "output_norm")
MERGER = ("ln_q.", "mlp.0.", "mlp.2.")  # Qwen2.5-VL's
OURS = {
    "vpm.patch_embed.": "encoders.visual.net.patch_embed.",
    "vpm.blocks.": "encoders.visual.net.blocks.",
    "llm.embed_tokens.": "llm.net.model.language_model.embed_tokens.",
    "llm.layers.": "llm.net.model.language_model.layers.",
    "llm.norm.": "llm.net.model.language_model.norm.",
    "lm_head.": "llm.net.lm_head.",
    **{
        f"{expert}compressor.{part}": f"{COMPRESSOR}experts.{expert}.merger.{part}"
        for expert in ("general", "emotion")
        for part in MERGER
    },
    # The gate's parts by the names that they have here, and torch's for attention.
    "gatenet.attention.in_proj_": f"{GATE}attention.in_proj.",
    "gatenet.attention.out_proj.": f"{GATE}attention.out_proj.",
    **{f"gatenet.{part}.": f"{GATE}{part}." for part in MAPS},
}
ADAPTED = "base_model.model."  # what peft puts before the names of an adapter
FIGURE = "affect_mllm.models.compressor.figure_gate.FigureGate"


def found(path: Path, told: Told) -> Found:
    """What is in a folder of Emotion-Qwen, and in that of an adapter trained on it.

    An adapter's weights replace the folder's of the same name. Without one, LoRA begins anew and
    adds nothing. Raises CheckpointError for names that neither it has nor `told` says, and for an
    adapter of another kind than `lora.saved_alpha` takes.
    """
    weights = read_folder(path)
    files = {each.name: each for each in shards(path)}
    if told.adapter is not None:
        changed = read_folder(told.adapter)
        weights |= {name.removeprefix(ADAPTED): tensor for name, tensor in changed.items()}
        files |= {f"adapter/{each.name}": each for each in shards(told.adapter)}
    names = Names(OURS).told(told.names, told.dropped)
    made = names.apply(weights, PROJECT)
    ours = lora.named(made.weights)
    alpha = None if told.adapter is None else lora.saved_alpha(told.adapter)
    adapted = lora.changes(ours, "model.lora", alpha)
    return Found(
        PROJECT,
        "emotion_qwen",
        files,
        ours,
        changes=[*_gate(ours), *adapted],
        base="model.model",
        ignored=made.ignored,
        dropped=made.dropped,
        fresh="(?!)" if adapted else r"llm\..*lora_.*",
        experts=("general", "emotion"),
        alpha=lora.unsaid(adapted, "model.lora"),
    )


def _gate(weights: Mapping[str, torch.Tensor]) -> list[str]:
    """The figure's gate, as wide inside as its weights are."""
    hidden = weights.get(f"{GATE}hidden.weight")
    size = "" if hidden is None else f", hidden_size: {len(hidden)}"
    return [f"+model.compressor.gate={{_target_: {FIGURE}, _partial_: true{size}}}"]
