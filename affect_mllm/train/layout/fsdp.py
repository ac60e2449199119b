"""FSDP2: every weight split over the processes by `fully_shard`, called here and nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.layout.engine import Engine, OptimizerOf, blocks


class FullyShard(Engine):
    """Blocks and the table of words are gathered one at a time, the rest for the whole pass.

    So the LLM's head, which the losses use in any number of chunks, is gathered once; a table that
    is the head as well stays with it.
    """

    splits = True
    _half: Collection[int] = ()  # blocks by identity

    def bring(self, model: AffectMLLM) -> None:
        """As `Engine.bring`; which blocks have a base in half precision is seen here.

        A checkpoint's weights, which come next, are float32 where they train: a resumed run would
        gather other numbers than the uninterrupted one.
        """
        self._half = {
            id(part)
            for part in (*blocks(model), *_words(model))
            if any(parameter.dtype == self.dtype for parameter in part.parameters())
        }
        super().bring(model)

    def _place(self, module: nn.Module, optimizer_of: OptimizerOf) -> None:
        mesh = init_device_mesh(self.device.type, (self.world,))
        for part in (*blocks(module), *_words(module), module):
            whole = [p for p in part.parameters() if not isinstance(p, DTensor)]
            policy = MixedPrecisionPolicy(
                param_dtype=self._gathered_in(part),
                reduce_dtype=torch.float32,
                cast_forward_inputs=False,
            )
            self._masters(whole)
            fully_shard(part, mesh=mesh, mp_policy=policy)  # moves it and keeps this rank's part
        self.model, self.optimizer = module, optimizer_of(module)

    def _gathered_in(self, part: nn.Module) -> torch.dtype | None:
        """The dtype that a block's weights are sent in: that of its base, if it computes in it.

        Half the traffic of float32 masters. Others travel as they are, and autocast casts them.
        """
        return self.dtype if id(part) in self._half else None

    def backward(self, loss: torch.Tensor, *, last: bool) -> None:
        """FSDP averages over ranks, and here gradients add up."""
        self.scale.up(loss * self.world).backward()

    def exchange(self) -> None:
        """Done in `backward`."""
        self._complete()

    def _over_shards(self, squares: torch.Tensor) -> torch.Tensor:
        return self.accelerator.reduce(squares, "sum")

    @contextlib.contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """The model with all weights gathered on every rank, until the end of the block.

        Passes inside it neither gather nor split again, so ranks may run as many as they like.
        """
        parts = [part for part in self.module.modules() if isinstance(part, FSDPModule)]
        # Else a block whose pass comes before the model's first would take itself for the root.
        root: Any = self.module
        root._get_fsdp_state()._lazy_init()
        for part in parts:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        try:
            yield self.module
        finally:
            for part in parts:
                part.set_reshard_after_forward(part is not self.module, recurse=False)
                part.reshard()


def _words(module: nn.Module) -> list[nn.Module]:
    """The LLM's table of words, unless its head is the same."""
    if not isinstance(module, AffectMLLM):
        return []
    net: Any = module.llm.net
    words, head = net.get_input_embeddings(), net.get_output_embeddings()
    shared = {id(weight) for weight in head.parameters()}
    return [] if any(id(weight) in shared for weight in words.parameters()) else [words]
