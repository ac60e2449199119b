"""FSDP2: every weight split over the processes by `fully_shard`, called here and nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from affect_mllm.train.layout.engine import Engine, OptimizerOf


class FullyShard(Engine):
    """Transformer blocks are gathered one at a time, the rest with the root for the whole pass.

    So the LLM's head, which the losses use in any number of chunks, is gathered once.
    """

    def _place(self, module: nn.Module, optimizer_of: OptimizerOf) -> None:
        module.to(self.device)
        self._same_everywhere(module)
        mesh = init_device_mesh(self.device.type, (self.world,))
        for block in blocks(module):
            fully_shard(block, mesh=mesh)
        fully_shard(module, mesh=mesh)
        self.model, self.optimizer = module, optimizer_of(module)

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
        for part in parts:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        try:
            yield self.module
        finally:
            for part in parts:
                part.set_reshard_after_forward(part is not self.module, recurse=False)
                part.reshard()


def blocks(module: nn.Module) -> list[nn.Module]:
    """The members of the outermost module lists: the layers of LLM and encoders."""
    found: list[nn.Module] = []
    for child in module.children():
        found += list(child) if isinstance(child, nn.ModuleList) else blocks(child)
    return [block for block in found if any(True for _ in block.parameters())]
