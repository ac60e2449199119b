"""What an export is made of: the merged model, its configuration and the processor."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn
from transformers.generation.configuration_utils import GenerationConfig
from transformers.pytorch_utils import Conv1D

from affect_mllm.config import weights_path
from affect_mllm.data.settings import DataSettings
from affect_mllm.models import checkpoint as store
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.pretrained import loading
from affect_mllm.tools.hf.config import FILES, AffectConfig, at, places
from affect_mllm.tools.hf.model import AffectForConditionalGeneration
from affect_mllm.tools.hf.processor import AffectProcessor
from affect_mllm.types import CheckpointError

SHARD = "5GB"
LOCAL = ("manifest", "cache_dir")  # data settings that name files of this machine


def loaded(checkpoint: Path, plugins: Sequence[str] = ()) -> tuple[AffectMLLM, DataSettings]:
    """A checkpoint's model, in eval mode on the CPU, and the data settings it is asked with."""
    model = store.load_model(checkpoint, plugins=plugins)
    local = dict.fromkeys(LOCAL)
    return model, store.load_part(checkpoint, "data", DataSettings, plugins=plugins, **local)


def merge(model: AffectMLLM, exact: AffectMLLM) -> None:
    """Add LoRA's products to the weights of both, and take its branches away.

    `exact` is the same model in float32: it is merged there, and `model`'s weights are its sums,
    rounded once. Raises CheckpointError for layers that cannot be merged into.
    """
    for name in _lora_layers(exact.llm.net):
        layer = exact.llm.net.get_submodule(name)
        plain = layer.get_base_layer()
        if not isinstance(plain, nn.Linear | nn.Embedding | Conv1D):
            raise _not_merged(name, f"LoRA beside a {type(plain).__name__}")
        try:
            layer.merge(safe_merge=True)
        except (RuntimeError, ValueError, NotImplementedError) as error:
            raise _not_merged(name, str(error)) from error
    for name in _lora_layers(model.llm.net):
        sums = exact.llm.net.get_submodule(name).get_base_layer()
        rounded = model.llm.net.get_submodule(name).get_base_layer()
        with torch.no_grad():
            for own, summed in zip(rounded.parameters(), sums.parameters(), strict=True):
                own.copy_(summed)
    for each in (model, exact):
        _without_branches(each)


def check_plain(model: AffectMLLM) -> None:
    """Raise CheckpointError where the LLM's weights are not plain ones, which could be merged."""
    if model.llm.quantize != "none":
        raise CheckpointError(
            "llm.quantize",
            f"{model.llm.quantize}: weights of few bits, into which LoRA cannot be merged",
            expected="a checkpoint whose LLM has plain weights",
            fix="train with llm.quantize: none, or use the checkpoint as it is",
        )


def _lora_layers(net: nn.Module) -> list[str]:
    from peft.tuners.lora import LoraLayer

    return [name for name, layer in net.named_modules() if isinstance(layer, LoraLayer)]


def _without_branches(model: AffectMLLM) -> None:
    net = model.llm.net
    for name in _lora_layers(net):
        parent, _, child = name.rpartition(".")
        setattr(net.get_submodule(parent), child, net.get_submodule(name).get_base_layer())
    model.llm.has_lora = False


def _not_merged(layer: str, why: str) -> CheckpointError:
    return CheckpointError(
        layer, f"LoRA cannot be merged into it ({why})", expected="a layer of plain weights"
    )


def greedy(model: AffectMLLM, data: DataSettings) -> GenerationConfig:
    """How an exported model answers: greedily, to the end of a turn as it was trained.

    Nothing is taken over from the LLM's own generation_config.
    """
    tokenizer = model.llm.tokenizer
    end = data.maker(tokenizer, model.span_lengths()).chat.end_id
    pad = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=pad)


def save(
    model: AffectMLLM,
    generation: GenerationConfig,
    checkpoint: Path,
    folder: Path,
    plugins: Sequence[str] = (),
) -> None:
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
        dtype=model.llm.dtype,
        architectures=[AffectForConditionalGeneration.__name__],
    )
    with torch.device("meta"):
        shell = AffectForConditionalGeneration(config, plugins=plugins)
    shell.affect = model
    tokenizer = model.llm.tokenizer
    shell.generation_config = generation
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
    groups = {"compressors": model.compressors, "fusion": model.fusion, "mixes": model.mixes}
    groups |= {f"encoders.{name}": encoder for name, encoder in model.encoders.items()}
    return sorted(
        f"affect.{name}."
        for name, part in groups.items()
        if part is not None and {p.dtype for p in part.parameters()} == {torch.float32}
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
    if is_dataclass(value):
        return _as_node(value)
    return list(value) if isinstance(value, tuple) else value
