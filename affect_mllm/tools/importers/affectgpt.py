"""AffectGPT's checkpoints: which of our models one is of, and our names of its parameters.

The names are those of zeroQiaoba/AffectGPT@fffca79 (`my_affectgpt/models/affectgpt.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from affect_mllm.tools.importers.files import read_tensors
from affect_mllm.tools.importers.imported import Found, Told
from affect_mllm.tools.importers.names import Names
from affect_mllm.types import CheckpointError, ConfigError

Weights = Mapping[str, torch.Tensor]
OF = {"visual": "video", "audio": "audio"}  # our encoder: the word in their names
QUERIES = ("video", "audio", "multi", "image")
PROJECTORS = {"visual": "affectgpt_proj", "audio": "audio_llama_proj", "image": "image_llama_proj"}
POSITIONS = {"visual": "video_frame_position_embedding", "audio": "audio_position_embedding"}
LORA = "llama_model.base_model.model."
BUFFER = "_Qformer.bert.embeddings.position_ids"
# BERT's names in their Q-Former → transformers' names of the same parts.
BERT = (
    (r"^bert\.embeddings\.LayerNorm\.", "layernorm."),
    (
        r"^bert\.encoder\.(layer\.\d+\.)(attention|crossattention)\.self\.",
        r"encoder.\1\2.attention.",
    ),
    (r"^bert\.encoder\.", "encoder."),
)


def found(path: Path, told: Told) -> Found:
    """What is in a file of AffectGPT.

    Raises CheckpointError for a file of anything else than tensors and plain data, and for names
    that neither AffectGPT has nor `told` says; ConfigError for what was told and is at odds with
    the file.
    """
    weights, settings = read_tensors(path)
    names = Names(_table()).told(told.names, told.dropped)
    buffers = [name for name in weights if name.endswith(BUFFER)]
    kept = {name: tensor for name, tensor in weights.items() if name not in buffers}
    made = names.apply(kept, "AffectGPT")
    changes = overrides(weights, heads=told.heads, counts=query_tokens(settings, told.query_tokens))
    return Found(
        "AffectGPT",
        "affectgpt",
        {path.name: path},
        {_of_bert(name): tensor for name, tensor in made.weights.items()},
        changes=changes,
        ignored=[*made.ignored, *buffers],
        dropped=made.dropped,
    )


def query_tokens(settings: Any, told: Sequence[str]) -> dict[str, int]:
    """How many tokens `video`, `audio`, `multi` and `image` take: of the file's own `settings`
    (`model.num_video_query_token` …), else as `told` (`video=8`), else one.

    Raises ConfigError for what was told and is no such number, or is another than the file's.
    """
    counts: dict[str, int] = {}
    model = settings.get("model", {}) if isinstance(settings, Mapping) else {}
    for name in QUERIES:
        found = model.get(f"num_{name}_query_token") if isinstance(model, Mapping) else None
        if isinstance(found, int) and found > 0:
            counts[name] = found
    for each in told:
        name, _, number = each.partition("=")
        if name not in QUERIES or not number.isdecimal() or not int(number):
            expected = f"NAME=NUMBER, with a name of {', '.join(QUERIES)}"
            raise ConfigError("--query-tokens", repr(each), expected=expected)
        if counts.get(name, int(number)) != int(number):
            raise ConfigError(
                "--query-tokens", each, expected=f"{name}={counts[name]}, as its config says"
            )
        counts[name] = int(number)
    return counts


def overrides(weights: Weights, *, heads: int, counts: Mapping[str, int]) -> list[str]:
    """What `conf/model/affectgpt` must be changed to, as the names and shapes say.

    `heads` of the Q-Formers cannot be seen in a shape, nor can `counts` of the tokens that their
    attention or mean repeats its one vector to. Raises CheckpointError where a part that every
    AffectGPT has is missing.
    """
    needed = ["multi_video_embs.weight", "multi_audio_embs.weight", "affectgpt_proj.weight"]
    missing = [name for name in needed if name not in weights]
    if missing:
        raise CheckpointError(
            "AffectGPT checkpoint",
            f"missing {', '.join(missing)}",
            expected="a checkpoint of AffectGPT with pre-fusion (ICML 2025)",
        )
    rank = next(
        (len(t) for name, t in weights.items() if name.endswith("lora_A.default.weight")), 0
    )
    if not rank:
        raise CheckpointError("AffectGPT checkpoint", "missing every lora_A", expected="LoRA")
    changes = [f"model.llm.lora.r={rank}"]
    for ours, theirs in OF.items():
        changes += _pooler(weights, ours, theirs, heads)
    repeated = {
        ours: counts.get(theirs, 1)
        for ours, theirs in (*OF.items(), ("image", "image"), ("multi", "multi"))
        if f"{theirs}_query_tokens" not in weights
    }
    changes += [
        f"+model.compressors.{ours}.repeat={count}" for ours, count in repeated.items() if count > 1
    ]
    common = len(weights["multi_video_embs.weight"])
    if "multi_query_tokens" not in weights:
        return [*changes, f"model.fusion.hidden_size={common}"]
    fusion = {"num_states": weights["multi_query_tokens"].shape[1], "common_size": common}
    positions = len(weights["multi_position_embedding.weight"])
    return [
        *changes,
        "fusion@model.fusion=qformer",
        "compressor@model.compressors.multi=linear",
        *(f"model.fusion.{key}={value}" for key, value in fusion.items()),
        f"model.fusion.positions={positions}",
        *_shape(weights, "multi", "model.fusion.shape", heads),
    ]


def _pooler(weights: Weights, ours: str, theirs: str, heads: int) -> list[str]:
    where = f"model.compressors.{ours}"
    if f"{theirs}_query_tokens" in weights:
        pooler = f"{where}.pooler"
        return [
            f"compressor@{where}=qformer",
            f"{pooler}.num_tokens={weights[f'{theirs}_query_tokens'].shape[1]}",
            f"{pooler}.positions={len(weights[f'{POSITIONS[ours]}.weight'])}",
            *_shape(weights, theirs, f"{pooler}.shape", heads),
        ]
    if f"{theirs}_attention_mlp.weight" in weights:
        return []
    return [f"compressor@{where}=mean"]


def _shape(weights: Weights, theirs: str, where: str, heads: int) -> list[str]:
    """Sizes of a Q-Former, from its shapes."""
    layers = {
        int(found[1])
        for name in weights
        if (found := re.match(rf"{theirs}_Qformer\.bert\.encoder\.layer\.(\d+)\.", name))
    }
    inner = weights.get(f"{theirs}_Qformer.bert.encoder.layer.0.intermediate_query.dense.weight")
    if inner is None:
        raise CheckpointError(
            "AffectGPT checkpoint",
            f"missing {theirs}_Qformer's layers",
            fix="give the whole checkpoint, as AffectGPT saves it, and its own YAML",
        )
    sizes = {
        "hidden_size": inner.shape[1],
        "intermediate_size": inner.shape[0],
        "layers": len(layers),
        "heads": heads,
    }
    return [f"{where}.{key}={value}" for key, value in sizes.items()]


def _table() -> dict[str, str]:
    """Their modules and parameters → ours."""
    table = {
        LORA: "llm.net.",
        "multi_video_embs.": "fusion.embed.visual.",
        "multi_audio_embs.": "fusion.embed.audio.",
        "attention_mlp.": "fusion.attention.",
        "fc_att.": "fusion.weights.",
        "multi_llama_proj.": "compressors.multi.project.",
        "multi_query_tokens": "fusion.qformer.queries",
        "multi_position_embedding.": "fusion.qformer.positions.",
        "multi_Qformer.": "fusion.qformer.net.",
    }
    for ours, theirs in PROJECTORS.items():
        table[f"{theirs}."] = f"compressors.{ours}.project."
    for ours, theirs in OF.items():
        pooler = f"compressors.{ours}.pooler."
        table[f"{theirs}_attention_mlp."] = f"{pooler}score."
        table[f"{theirs}_query_tokens"] = f"{pooler}qformer.queries"
        table[f"{POSITIONS[ours]}."] = f"{pooler}qformer.positions."
        table[f"{theirs}_Qformer."] = f"{pooler}qformer.net."
    return table


def _of_bert(name: str) -> str:
    """transformers' name of a part of a Q-Former."""
    before, net, rest = name.partition(".qformer.net.")
    for pattern, better in BERT if net else ():
        rest = re.sub(pattern, better, rest)
    return before + net + rest
