"""LoRA as peft's layers, with a forward pass that stays in the precision of the arithmetic."""

from __future__ import annotations

import re
import warnings
from typing import Any

import torch
from peft.mapping import inject_adapter_in_model
from peft.tuners.lora.layer import Linear as PeftLinear
from peft.tuners.lora.layer import LoraLayer
from torch import nn

from affect_mllm.models.precision import autocast_dtype
from affect_mllm.types import ConfigError

# What of peft's LoRA is no branch beside a layer: no checkpoint keeps it, no export merges it.
NO_BRANCH = ("modules_to_save", "trainable_token_indices", "layer_replication")


class LeanLinear(PeftLinear):
    """peft's LoRA layer without what peft spends on an ordinary adapter under autocast.

    peft casts the layer's input to float32 for the adapter (autocast casts it back) and scales
    the wide product; here the input stays as it is and the narrow one is scaled: 2 instead of 6
    passes over wide tensors, the same function. Anything else than one plain adapter is peft's.
    """

    def forward(self, x: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        """`[…, in]` → `[…, out]`: the base layer plus B(A(x) · scaling)."""
        plain = not (args or options or self.disable_adapters or self.merged or self.lora_variant)
        if not plain or len(self.active_adapters) != 1:
            return super().forward(x, *args, **options)
        (name,) = self.active_adapters
        base = self.base_layer(x)
        down, up = self.lora_A[name], self.lora_B[name]
        if autocast_dtype(x.device) is None:
            x = self._cast_input_dtype(x, down.weight.dtype)  # type: ignore[arg-type]
        narrow = down(self.lora_dropout[name](x)) * self.scaling[name]
        return base + up(narrow).to(base.dtype)


def lean(lora: Any) -> Any:
    """The LoraConfig with `LeanLinear` for plain linear layers; returns it."""
    lora._register_custom_module({nn.Linear: LeanLinear})
    return lora


def add_lora(net: Any, lora: Any, *, quantized: bool = False) -> None:
    """Put a LoraConfig's branches beside layers of an LLM, in float32 and frozen.

    Raises ConfigError for targets that are not there, and for what could be trained but neither
    kept nor merged: more than branches, and branches at the head or at embeddings that are also
    the head.
    """
    for option in NO_BRANCH:
        if given := getattr(lora, option, None):
            raise ConfigError(
                f"llm.lora.{option}",
                str(given),
                expected="null: of LoRA its branches beside layers are trained, kept and merged",
                fix="leave it out; weights that shall train in full are a group of the stages, "
                f"such as {_in_full(net, net.get_output_embeddings())}",
            )
    with warnings.catch_warnings():
        # peft only warns of branches at tied embeddings; they are refused below.
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
        try:
            inject_adapter_in_model(lora if quantized else lean(lora), net)
        except ValueError as error:
            raise ConfigError(
                "llm.lora",
                str(error),
                fix="name layers of this LLM in `target_modules`, or `all-linear`",
            ) from error
    _check_ends(net)
    for name, parameter in net.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(False)


def lora_is_zero(net: nn.Module) -> bool:
    """True while no branch can change any output: of each product one factor begins as zeros."""
    zeros = ("lora_B", "lora_embedding_A")  # of layers, of embeddings
    return not any(
        parameter.any()
        for name, parameter in net.named_parameters()
        if any(part in name for part in zeros)
    )


def _check_ends(net: Any) -> None:
    """Refuse branches where embeddings and head share weights, and at any head."""
    words: Any = net.get_input_embeddings()
    head: Any = net.get_output_embeddings()
    tied = words.weight is head.weight
    where: Any = words if isinstance(words, LoraLayer) and tied else head
    if not isinstance(where, LoraLayer):
        return
    why = "the losses use its own weights alone"
    if tied:
        why = "embeddings and head are one matrix (tie_word_embeddings), which merging would change"
        why += " for both"
    raise ConfigError(
        "llm.lora.target_modules",
        f"{_name(net, where)}: {why}",
        expected="layers between the embeddings and the head",
        fix="leave it out, or train the matrix in full, as a group of the stages: "
        f"{_in_full(net, where)}",
    )


def _in_full(net: nn.Module, module: Any) -> str:
    """The weights of a module as a stage's `trainable` has them."""
    name = next(name for name, each in net.named_parameters() if each is module.weight)
    match = re.escape(f"llm.net.{name.replace('.base_layer', '')}")
    return f"trainable: {{whole: {{match: '{match}', lr: 1.0e-5}}}}"


def _name(net: nn.Module, module: Any) -> str:
    return next(name for name, each in net.named_modules() if each is module)
