"""What an export is made of: the merged model, its configuration, the processor, and probes."""

from __future__ import annotations

import copy
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from affect_mllm.config import weights_path
from affect_mllm.data.collate import collate
from affect_mllm.data.settings import DataSettings
from affect_mllm.models import checkpoint as store
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.pretrained import loading
from affect_mllm.tools.hf.config import FILES, AffectConfig, at, places
from affect_mllm.tools.hf.model import AffectForConditionalGeneration
from affect_mllm.tools.hf.processor import AffectProcessor
from affect_mllm.types import Batch, CheckpointError, Patches, Sample

SHARD = "5GB"
LOCAL = ("manifest", "cache_dir")  # data settings that name files of this machine


def loaded(checkpoint: Path) -> tuple[AffectMLLM, DataSettings]:
    """A checkpoint's model, in eval mode on the CPU, and the data settings it is asked with."""
    return store.load_model(checkpoint), store.load_part(
        checkpoint, "data", DataSettings, **dict.fromkeys(LOCAL)
    )


def merged(model: AffectMLLM) -> AffectMLLM:
    """The same model with LoRA's products added to the weights and its branches gone."""
    from peft.tuners.lora import LoraLayer

    net = model.llm.net
    for name, layer in [*net.named_modules()]:
        if not isinstance(layer, LoraLayer):
            continue
        if not isinstance(layer.get_base_layer(), nn.Linear | nn.Embedding):
            raise CheckpointError(
                name, "LoRA on a quantized layer", expected="a layer of plain weights to merge into"
            )
        layer.merge(safe_merge=True)
        parent, _, child = name.rpartition(".")
        setattr(net.get_submodule(parent), child, layer.get_base_layer())
    model.llm.has_lora = False
    return model


def save(model: AffectMLLM, checkpoint: Path, folder: Path) -> None:
    """Weights, configuration, tokenizer and processor of a merged model."""
    node = _model_node(checkpoint)
    parts = {place: _files(at(node, place)["model"]) for place in places(node)}
    for place in parts:
        at(node, place)["model"] = f"part:{place or 'model'}"
    config = AffectConfig(
        affect=OmegaConf.to_yaml(node),
        parts=parts,
        experts=store.read_meta(checkpoint)["experts"],
        float32_parts=_float32_parts(model),
        dtype=model.llm.net.dtype,
        architectures=[AffectForConditionalGeneration.__name__],
    )
    with torch.device("meta"):
        shell = AffectForConditionalGeneration(config)
    shell.affect = model
    shell.generation_config = copy.deepcopy(model.llm.net.generation_config)
    tokenizer = model.llm.tokenizer
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    shell.generation_config.pad_token_id = pad_id
    shell.save_pretrained(folder, max_shard_size=SHARD)
    recipe = {
        "data": OmegaConf.to_container(_data_node(checkpoint), resolve=True),
        "transforms": _transforms(model, node),
        "spans": {
            name: rule if isinstance(rule, int) else _as_node(rule)
            for name, rule in model.span_lengths().items()
        },
    }
    text = OmegaConf.to_yaml(recipe)
    AffectProcessor(tokenizer, text, tokenizer.chat_template).save_pretrained(folder)


def probes(model: AffectMLLM, data: DataSettings) -> Batch:
    """Prompts about noise, one a modality, one with all that can go together, one of words."""
    rng = np.random.default_rng(0)
    transforms = model.transforms()
    pictures = rng.integers(0, 256, (3, 90, 130, 3), dtype=np.uint8)
    sound = rng.standard_normal(16_000).astype(np.float32) / 10
    media: dict[str, Any] = {}
    for name, transform in transforms.items():
        width = getattr(transform, "width", 0)  # of a feature file's states
        given = sound if name == "audio" else pictures[: 1 if name == "image" else 3]
        item = transform(rng.standard_normal((4, width)) if width else given)
        media[name] = item.timed(np.arange(3) / 2) if isinstance(item, Patches) else item
    kinds = [(name,) for name in media]
    kinds += [(name, "audio") for name in media if "audio" in media and name != "audio"]
    maker = data.maker(model.llm.tokenizer, model.span_lengths())
    question = "Which emotion does the person express?"
    examples = [
        maker.make(
            Sample(str(number), Path(), subtitle="I see." if not kind else None),
            {name: media[name] for name in kind},
            question=question,
            answer="happy",
            encoded=False,
        )
        for number, kind in enumerate([*kinds, ()])
    ]
    return collate(examples, pad_id=model.llm.tokenizer.pad_token_id or 0)


@torch.no_grad()
def probe_logits(model: AffectMLLM, batch: Batch) -> torch.Tensor:
    """Logits `[M, V]` at every real position, in the arithmetic that evaluation uses."""
    real = batch.segments >= 0
    with torch.autocast(batch.input_ids.device.type, torch.bfloat16, enabled=model.llm.is_bf16):
        return model(batch, lambda m, _, hidden: m.llm.logits(hidden.states[real])).float()


def exact_logits(checkpoint: Path, batch: Batch) -> torch.Tensor:
    """The checkpoint's logits in float32, whatever precision its parts have."""
    return probe_logits(store.load_model(checkpoint).float(), batch)


def _data_node(checkpoint: Path) -> DictConfig:
    node = store.load_config(checkpoint).data
    node.update(dict.fromkeys(LOCAL))
    return node


def _model_node(checkpoint: Path) -> dict[str, Any]:
    """The model's YAML node as plain values, without LoRA."""
    node: Any = OmegaConf.to_container(store.load_config(checkpoint).model, resolve=True)
    for place in places(node):
        if "lora" in at(node, place):
            at(node, place)["lora"] = None
    return node


def _files(model: str) -> dict[str, Any]:
    """The JSON files that say what a pretrained part is."""
    from transformers.utils.hub import cached_file

    found = {}
    with loading(model, "a pretrained part"):
        for name in FILES:
            path = cached_file(
                weights_path(model), name, _raise_exceptions_for_missing_entries=False
            )
            if path is not None:
                found[name] = json.loads(Path(path).read_text())
    return found


def _float32_parts(model: AffectMLLM) -> list[str]:
    """The modules whose weights are float32, by their names in the exported model."""
    groups = {"compressors": model.compressors, "fusion": model.fusion}
    groups |= {f"encoders.{name}": encoder for name, encoder in model.encoders.items()}
    return sorted(
        f"affect.{name}."
        for name, part in groups.items()
        if part is not None and all(p.dtype == torch.float32 for p in part.parameters())
    )


def _transforms(model: AffectMLLM, node: dict[str, Any]) -> dict[str, Any]:
    """Each modality's transform as a node: the configuration's, or what the model made itself."""
    encoders = node.get("encoders", {})
    return {
        name: encoders.get(model.branches[name], {}).get("transform") or _as_node(transform)
        for name, transform in model.transforms().items()
    }


def _as_node(made: Any) -> dict[str, Any]:
    """An object as the node that makes it again, for classes that keep their options' names."""
    kind = type(made)
    options = {name: _plain(getattr(made, name)) for name in inspect.signature(kind).parameters}
    return {"_target_": f"{kind.__module__}.{kind.__qualname__}", **options}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [float(number) for number in value]
    return list(value) if isinstance(value, tuple) else value
