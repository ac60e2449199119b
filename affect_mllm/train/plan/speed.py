"""What makes a step cheaper and leaves what it computes as it is."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from affect_mllm.log import LOGGER
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.precision import autocast_on_meta
from affect_mllm.types import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TIMM_SWITCH = "set_grad_checkpointing"  # of timm's models
Part = Literal["llm", "encoders"]


@dataclass(frozen=True)
class Speed:
    """Settings of `speed` in `conf/train.yaml`, applied to a built model.

    `gradient_checkpointing` computes the activations of these parts again in the backward pass
    instead of keeping them. `compile` compiles each decoder layer of the LLM (torch.compile; the
    second step compiles, the first counts FLOPs as it is). `liger` uses Liger-Kernel's norms,
    rotary embeddings and MLPs (arXiv 2410.10989): `auto` where they can run, `always` refuses where
    they cannot.
    """

    gradient_checkpointing: Sequence[Part] = ()
    compile: bool = False
    liger: Literal["auto", "always", "never"] = "auto"

    def apply(self, model: AffectMLLM) -> None:
        """Change `model` in place, once its stage has said what trains. Raises ConfigError."""
        net = model.llm.net
        self._use_liger(net)
        if "llm" in self.gradient_checkpointing:
            _checkpoint(net, "llm")
        if "encoders" in self.gradient_checkpointing:
            _checkpoint_encoders(model)
        if self.compile:
            for layer in net.get_decoder().layers:
                layer.compile(dynamic=True)

    def rehearsed(self, model: AffectMLLM, autocast: torch.dtype | None) -> None:
        """The same of a model without weights, as far as it decides what is kept.

        What is computed again is so in the types that `autocast` gives on the meta device.
        """
        for net in [model.llm.net, *(n for e in model.encoders.values() for n in e.children())]:
            _checkpoint_no_more(net)  # of the stage before
        replace(self, compile=False, liger="never").apply(model)
        if "llm" in self.gradient_checkpointing:
            # torch's own restores the autocast of a device, of which meta is none.
            again = partial(autocast_on_meta, autocast, again=True)
            _switch_on(model.llm.net, context_fn=lambda: (nullcontext(), again()))

    def _use_liger(self, net: Any) -> None:
        if self.liger == "never":
            return
        lacking = liger_lacks(str(net.config.model_type))
        if lacking and self.liger == "always":
            raise ConfigError(
                "speed.liger",
                f"always, but {lacking}",
                expected="a CUDA device, the package liger-kernel and an LLM that it knows",
                fix="set speed.liger=auto, or pip install 'affect-mllm[liger]'",
            )
        if not lacking:
            from liger_kernel.transformers import _apply_liger_kernel_to_instance

            # The loss is ours: logits only where a label is, in chunks.
            _apply_liger_kernel_to_instance(
                model=net, fused_linear_cross_entropy=False, cross_entropy=False
            )
            LOGGER.info("Liger kernels in %s", net.config.model_type)


def liger_lacks(model_type: str) -> str | None:
    """What keeps Liger's kernels from running here for this kind of LLM, or None."""
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    if importlib.util.find_spec("liger_kernel") is None:
        return "the package liger-kernel is not installed"
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    known = model_type in MODEL_TYPE_TO_APPLY_LIGER_FN
    return None if known else f"Liger does not know a {model_type}"


def _checkpoint_encoders(model: AffectMLLM) -> None:
    trained = {
        name: encoder
        for name, encoder in model.encoders.items()
        if any(parameter.requires_grad for parameter in encoder.parameters())
    }
    if not trained:
        raise ConfigError(
            "speed.gradient_checkpointing",
            "encoders, but no encoder trains in this stage",
            expected="[llm]: a frozen encoder keeps no activations",
        )
    for name, encoder in trained.items():
        for net in encoder.children():
            _checkpoint(net, f"encoders.{name}")


def _checkpoint(net: nn.Module, where: str) -> None:
    """transformers' or timm's own switch. Raises ConfigError for a network without one."""
    from transformers import PreTrainedModel

    if isinstance(net, PreTrainedModel) and net.supports_gradient_checkpointing:
        _switch_on(net)
        return
    switch = getattr(net, TIMM_SWITCH, None)
    if switch is None:
        raise ConfigError(
            "speed.gradient_checkpointing",
            f"{where} is a {type(net).__name__}, which cannot",
            fix="leave encoders out of it: [llm] or []",
        )
    switch(True)


def _switch_on(net: PreTrainedModel, **options: Any) -> None:
    with warnings.catch_warnings():  # its new name is not in the oldest transformers we admit
        warnings.simplefilter("ignore", FutureWarning)
        # Re-entrant checkpointing loses gradients where a layer's input needs none.
        net.gradient_checkpointing_enable({"use_reentrant": False, **options})


def _checkpoint_no_more(net: nn.Module) -> None:
    """Undo `_checkpoint`."""
    from transformers import PreTrainedModel

    if isinstance(net, PreTrainedModel) and net.supports_gradient_checkpointing:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            net.gradient_checkpointing_disable()
        return
    switch: Any = getattr(net, TIMM_SWITCH, None)
    if switch is not None:
        switch(False)
