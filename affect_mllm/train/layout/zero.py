"""DeepSpeed's ZeRO through accelerate's plugin; all its settings come from `conf/launch`."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import nn
from torch.utils._pytree import tree_map_only

from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.tensor_file import Writes
from affect_mllm.train.layout import engine_state
from affect_mllm.train.layout.engine import Engine, OptimizerOf, blocks
from affect_mllm.types import CheckpointError

STAGES = {"zero1": 1, "zero2": 2, "zero3": 3, "zero3_offload": 3}


@dataclass(frozen=True)
class ZeroSettings:
    """What ZeRO holds and sends at a time, in numbers (not bytes), by DeepSpeed's names.

    `overlap_comm` sends gradients while backward goes on, from a second bucket of
    `reduce_bucket_size`; null: where there is CUDA. ZeRO-1 and -2 gather updated weights
    `allgather_bucket_size` at a time. ZeRO-3 gathers up to `stage3_prefetch_bucket_size` ahead
    and keeps up to `stage3_max_live_parameters` whole: with a model smaller than that, nothing
    is split again within a step.
    """

    overlap_comm: bool | None = None
    reduce_bucket_size: PositiveInt = 50_000_000
    allgather_bucket_size: PositiveInt = 50_000_000
    stage3_prefetch_bucket_size: NonNegativeInt = 50_000_000
    stage3_max_live_parameters: NonNegativeInt = 500_000_000

    def of_stage(self, stage: int) -> dict[str, Any]:
        """As DeepSpeed's configuration has them."""
        overlap = torch.cuda.is_available() if self.overlap_comm is None else self.overlap_comm
        given = {"overlap_comm": overlap, "reduce_bucket_size": self.reduce_bucket_size}
        if stage < 3:
            return {**given, "allgather_bucket_size": self.allgather_bucket_size}
        return {
            **given,
            "stage3_prefetch_bucket_size": self.stage3_prefetch_bucket_size,
            "stage3_max_live_parameters": self.stage3_max_live_parameters,
            "stage3_max_reuse_distance": self.stage3_max_live_parameters,
        }


def plugin(stage: int, settings: ZeroSettings, *, offload: bool, persistence_threshold: int) -> Any:
    """accelerate's DeepSpeedPlugin for a ZeRO stage.

    Accumulation is ours (DeepSpeed would divide by its own), precision too (autocast around
    float32 master weights, as in every other strategy).
    """
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    from accelerate import DeepSpeedPlugin

    where = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    zero: dict[str, Any] = {"stage": stage, **settings.of_stage(stage)}
    if stage == 3:
        zero["stage3_param_persistence_threshold"] = persistence_threshold
    if offload:
        zero |= {"offload_optimizer": where, "offload_param": where}
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 1.0,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }
    return DeepSpeedPlugin(hf_ds_config=config, zero3_init_flag=False)


def whole_models() -> None:
    """Let transformers load models whole: accelerate told it to split them while loading.

    A model is split when it is prepared, after its encoders have filled the feature cache.
    """
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()


class Zero(Engine):
    """ZeRO-1, -2 and -3. Its engine state belongs to one number of processes."""

    any_world = False

    def _place(self, module: nn.Module, optimizer_of: OptimizerOf) -> None:
        settings = self.accelerator.deepspeed_plugin.deepspeed_config
        settings["gradient_clipping"] = self.max_norm
        settings["train_batch_size"] = self.world
        optimizer = optimizer_of(module)  # which asks for shapes, that split weights have not
        if self.splits:
            self._split(module)
        else:
            self._masters(module.parameters())
        self.model, self.optimizer = self.accelerator.prepare(module, optimizer)

    @property
    def splits(self) -> bool:  # type: ignore[override]
        """ZeRO-3."""
        return STAGES[self.strategy] == 3

    def _split(self, module: nn.Module) -> None:
        """Keep of every weight this rank's part, block by block: prepared whole, all would move."""
        import deepspeed

        settings = self.accelerator.deepspeed_plugin.deepspeed_config
        for layer in _behind_trained(module):  # gathered at once, by one hook a layer
            deepspeed.utils.set_z3_leaf_module(layer, True)
        for part in (*blocks(module), module):
            whole = [p for p in part.parameters() if not hasattr(p, "ds_id")]
            self._masters(whole)
            for parameter in whole:  # a copy: rank 0's is broadcast into what may be a mapped file
                parameter.data = parameter.data.to(self.device, copy=True)
            deepspeed.zero.Init(module=part, config_dict_or_path=settings)
        for buffer in module.buffers():
            buffer.data = buffer.data.to(self.device)

    def backward(self, loss: torch.Tensor, *, last: bool) -> None:
        """DeepSpeed averages over ranks, and here gradients add up."""
        self.model.set_gradient_accumulation_boundary(last)
        self.model.backward(loss * self.world, scale_wrt_gas=False)

    def exchange(self) -> None:
        """Done in `backward`."""

    def update(self) -> tuple[float, dict[str, float]]:
        """DeepSpeed clips, steps and clears the gradients itself.

        It keeps gradients in pieces; gathering them for the groups' norms would cost too much.
        """
        self.model.step()
        return float(self.model.get_global_grad_norm()), {}

    def each(self, names: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
        """As `Engine.each`; DeepSpeed gathers what it has split."""
        from deepspeed.runtime.zero.partition_parameters import GatheredParameters

        held = dict(self.module.state_dict(keep_vars=True))
        for name in names:
            with GatheredParameters([held[name]]):  # what is not split stays as it is
                whole = held[name].detach().clone()
            yield name, whole

    @contextlib.contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """The model with all weights gathered on every rank, until the end of the block.

        Passes inside it neither gather nor split again, so ranks may run as many as they like.
        """
        from deepspeed.runtime.zero.partition_parameters import GatheredParameters

        with GatheredParameters(list(self.module.parameters())), self._without_hooks():
            yield self.module

    @contextlib.contextmanager
    def _without_hooks(self) -> Iterator[None]:
        """ZeRO-3's hooks off: they would split each layer again after its first pass.

        DeepSpeed has no public way; TRL's `unwrap_model_for_generation` takes the same hooks away.
        The one at the beginning of the whole model's pass, which is not in its lists, talks to the
        other ranks, of which some may have no pass to make.
        """
        keeper = getattr(self.model.optimizer, "parameter_offload", None)
        if keeper is None:  # ZeRO-1 and -2 leave weights alone
            yield
            return
        for hook in (*keeper.forward_hooks, *keeper.backward_hooks):
            hook.remove()
        keeper.forward_hooks, keeper.backward_hooks = [], []
        for parameter in self.module.parameters():
            getattr(parameter, "ds_active_sub_modules", set()).clear()
        begins = dict(keeper.module._forward_pre_hooks)
        keeper.module._forward_pre_hooks.clear()
        try:
            yield
        finally:
            keeper.module._forward_pre_hooks.update(begins)
            keeper._register_deepspeed_module(keeper.module)

    def save(self, folder: Path, writes: Writes) -> None:
        """DeepSpeed's own files; frozen weights are left out, as everywhere."""
        with self._writing(writes):
            self.model.save_checkpoint(str(folder), tag="zero", exclude_frozen_parameters=True)
        engine_state.write_random(folder, self.rank)

    @contextlib.contextmanager
    def _writing(self, writes: Writes) -> Iterator[None]:
        """What DeepSpeed gives its writer goes through `writes`."""
        writer = self.model.checkpoint_engine
        plain = writer.save

        def save(state_dict: Any, path: str) -> None:
            kept = tree_map_only(torch.Tensor, writes.kept, state_dict)
            writes.then(lambda: plain(kept, path))

        writer.save = save
        try:
            yield
        finally:
            del writer.save

    def load(self, folder: Path) -> None:
        """What `save` wrote, by as many processes. Raises CheckpointError."""
        path, _ = self.model.load_checkpoint(str(folder), tag="zero", load_module_strict=False)
        if path is None:
            raise CheckpointError(str(folder), "no DeepSpeed state", fix="delete this checkpoint")
        engine_state.read_random(folder, self.rank)


def _behind_trained(module: nn.Module) -> list[nn.Module]:
    """The LLM's layers behind its first that trains: their inputs have gradients in every batch.

    Without, torch calls a module's backward hook before its backward pass, and weights would go.
    """
    layers = module.llm.net.get_decoder().layers if isinstance(module, AffectMLLM) else []
    trains = [any(weight.requires_grad for weight in layer.parameters()) for layer in layers]
    return list(layers)[trains.index(True) + 1 :] if True in trains else []
