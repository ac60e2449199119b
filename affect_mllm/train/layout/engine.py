"""Where a model runs: its processes, precision, gradients and engine state. One class a strategy.

`Engine` is one process, or several that each hold the whole model (`single`, `ddp`). The others,
`zero.py` and `fsdp.py`, split it over the processes. The loss that `backward` gets is this rank's
share of one sum over all ranks; after `exchange` the gradient is that of the sum.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from affect_mllm.models.hidden import Hidden
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.tensor_file import Writes
from affect_mllm.train.layout import engine_state, gradients
from affect_mllm.train.layout.host_group import host_group, side_group
from affect_mllm.train.layout.loss_scale import LossScale
from affect_mllm.types import AffectError, Batch

T = TypeVar("T")
LOST = ("by peer", "Broken pipe", "Timed out", "timed out", "NCCL", "closed the connection")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

OptimizerOf = Callable[[nn.Module], torch.optim.Optimizer]


class Engine:
    """Every process holds the whole model; gradients are added up in a step's last backward."""

    any_world = True  # whether its state can be resumed by another number of processes
    splits = False  # whether frozen weights are split too: then no process may hold them all

    def __init__(
        self,
        accelerator: Any,
        *,
        strategy: str,
        precision: str,
        timeout: timedelta = timedelta(minutes=30),
    ) -> None:
        self.accelerator, self.strategy, self.timeout = accelerator, strategy, timeout
        self.device: torch.device = accelerator.device
        self.rank: int = accelerator.process_index
        self.world: int = accelerator.num_processes
        self.is_main: bool = accelerator.is_main_process
        self.hosts = host_group(self.device, timeout)
        self.dtype = DTYPES.get(precision)
        self.scale = LossScale(enabled=precision == "fp16")
        self.module: nn.Module
        self.model: Any
        self.optimizer: Any
        self.over_ranks: gradients.OverRanks | None = None

    def bring(self, model: AffectMLLM) -> None:
        """Move a built model to where it trains.

        One that will be split stays where its files are mapped into memory, and `prepare` reads of
        each weight this process's part; its encoders move, since they may fill the feature cache.
        """
        (model.encoders if self.splits else model).to(self.device)

    def prepare(self, module: nn.Module, optimizer_of: OptimizerOf, *, max_norm: float) -> None:
        """Take over a built model. `optimizer_of(model)` is called when its parameters are final.

        What trains becomes float32, whatever its base is kept in: in bfloat16 an update of 1e-6 is
        less than half a step of most weights and would be lost. What is frozen keeps its dtype.
        `max_norm` is the global gradient norm that an update is clipped to.
        """
        self.module, self.max_norm = module, max_norm
        if self.dtype is not None:
            _compute_in(module, self.device.type, self.dtype)
        for parameter in module.parameters():  # what splits weights wants plain strides
            if (
                parameter.ndim > 2
                and parameter.stride() != torch.empty(parameter.shape, device="meta").stride()
            ):
                parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
        self._place(module, optimizer_of)

    def _place(self, module: nn.Module, optimizer_of: OptimizerOf) -> None:
        module.to(self.device)
        self._masters(module.parameters())
        self.model, self.optimizer = module, optimizer_of(module)
        self.over_ranks = (
            gradients.OverRanks(self.parameters(), timeout=self.timeout) if self.world > 1 else None
        )

    def forward(self, batch: Batch, objective: Callable[[Any, Batch, Hidden], T]) -> T:
        """The model's forward pass of a batch on the device, in the strategy's precision."""
        return self.model(batch, objective)

    def backward(self, loss: torch.Tensor, *, last: bool) -> None:
        """Gradients of this rank's share; `last` says that it is the step's last micro-batch."""
        if last and self.over_ranks is not None:
            self.over_ranks.begin()
        self.scale.up(loss).backward()

    def exchange(self) -> None:
        """Make every gradient that of the sum over all ranks."""
        self._complete()
        if self.over_ranks is not None:
            self.over_ranks.finish()

    def update(self) -> tuple[float, dict[str, float]]:
        """Clip to the global norm, step, and forget the gradients.

        Returns the norm before clipping, of all gradients and of each group's (none where they
        are kept in pieces). A step whose gradients are not finite is left out; with fp16 the loss
        scale falls.
        """
        norm, norms = self._clip()
        if self.scale.keep(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm, norms

    def parameters(self) -> list[nn.Parameter]:
        """Everything that trains."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    @contextlib.contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """The plain model with every weight in place, for generating and saving; on all ranks."""
        yield self.module

    def each(self, names: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
        """The named weights and buffers, whole, where they are, one at a time: all need not fit.

        Every rank has to go through them.
        """
        held = self.module.state_dict()
        for name in names:
            yield name, engine_state.whole(held[name])

    def weights(self, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """All of `each`, on the CPU."""
        return {name: tensor.cpu() for name, tensor in self.each(names)}

    def save(self, folder: Path, writes: Writes) -> None:
        """Optimiser and random state, so that `load` goes on bit for bit."""
        moments = engine_state.moments(self.module, self.optimizer)
        engine_state.write_moments(folder, moments, self.scale.value, writes, rank=self.rank)
        engine_state.write_random(folder, self.rank)

    def load(self, folder: Path) -> None:
        """What `save` wrote. Ranks that were not there get random numbers of their own."""
        self.scale.value = engine_state.read_moments(folder, self.module, self.optimizer)
        engine_state.read_random(folder, self.rank)

    def told(self, numbers: Sequence[float]) -> list[list[float]]:
        """Every rank's numbers, equally many on each, in the order of ranks; from host to host."""
        if self.world == 1:
            return [list(numbers)]
        own = torch.tensor(numbers, dtype=torch.float64)
        found = [torch.empty_like(own) for _ in range(self.world)]
        torch.distributed.all_gather(found, own, group=self.hosts)
        return torch.stack(found).tolist()

    def gather(self, item: T) -> list[T]:
        """Every rank's item, of any kind, in the order of ranks; not for what every step tells."""
        return self._gathered(item, self.hosts)

    def gathering_beside(self) -> Callable[[Any], list[Any]]:
        """`gather` for one other thread of every rank; all ranks ask for it together."""
        return partial(self._gathered, group=side_group(self.timeout))

    def _gathered(self, item: T, group: Any) -> list[T]:
        if self.world == 1:
            return [item]
        found: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(found, item, group=group)
        return found

    def agreed(self, flag: bool) -> bool:
        """True on all ranks as soon as it is true on one."""
        return any(raised for (raised,) in self.told([flag]))

    def wait(self) -> None:
        """Until every rank is here."""
        self.accelerator.wait_for_everyone()

    def close(self) -> None:
        """Let go of the model, so that the next stage has the memory."""
        if self.over_ranks is not None:
            self.over_ranks.close()
            self.over_ranks = None
        self.accelerator.free_memory()

    def _clip(self) -> tuple[float, dict[str, float]]:
        groups: dict[str, list[torch.Tensor]] = {}
        for group in self.optimizer.param_groups:
            grads = [engine_state.local(p.grad) for p in group["params"] if p.grad is not None]
            groups.setdefault(group["name"], []).extend(grads)
        found = self._over_shards(gradients.squares(groups, self.device)).tolist()
        scale = self.scale.value[0]
        norms = {name: math.sqrt(each) / scale for name, each in zip(groups, found, strict=True)}
        norm = math.sqrt(sum(found)) / scale
        factor = self.max_norm / (norm + 1e-6) if norm > self.max_norm else 1.0
        gradients.multiply([grad for grads in groups.values() for grad in grads], factor / scale)
        return norm, norms

    def _over_shards(self, squares: torch.Tensor) -> torch.Tensor:
        """Sums over the parts of gradients that are split over ranks."""
        return squares

    def _complete(self) -> None:
        """A parameter that nothing used has a gradient of zero, whatever the strategy."""
        for parameter in self.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def _masters(self, parameters: Iterable[nn.Parameter]) -> None:
        """Those that train: in float32, here, and rank 0's, since what differs stays different."""
        for parameter in parameters:
            if parameter.requires_grad:
                several = self.world > 1  # then a copy: what it is sent is not for a mapped file
                parameter.data = parameter.data.to(self.device, torch.float32, copy=several)
                if several:
                    torch.distributed.broadcast(parameter.data, 0)


def _compute_in(module: nn.Module, device: str, dtype: torch.dtype) -> None:
    """Run the forward pass under autocast: from inside, where no wrapper switches it off."""
    plain = module.forward

    def forward(batch: Batch, objective: Callable[[Any, Batch, Hidden], T]) -> T:
        with torch.autocast(device, dtype):
            return plain(batch, objective)

    module.forward = forward


def blocks(module: nn.Module) -> list[nn.Module]:
    """The members of the outermost module lists: the layers of LLM and encoders, each once."""
    found: list[nn.Module] = []
    for child in module.children():
        found += list(child) if isinstance(child, nn.ModuleList) else blocks(child)
    held = (block for block in found if any(True for _ in block.parameters()))
    return list(dict.fromkeys(held))  # encoders may share theirs


def lost_rank(error: RuntimeError) -> AffectError | None:
    """What to tell a user when a collective failed because another process is gone, or None."""
    said = str(error)
    if not torch.distributed.is_initialized() or not any(words in said for words in LOST):
        return None
    return AffectError(
        f"rank {torch.distributed.get_rank()}",
        f"another process ended or stopped answering ({said.splitlines()[0][:200]})",
        fix="its own message, or the launcher's, says why; the same command goes on from the last "
        "checkpoint",
    )
