"""A running average of the weights that train: what is evaluated, chosen and kept at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from affect_mllm.models.tensor_file import Writes
from affect_mllm.train.watch.callbacks import Callback
from affect_mllm.types import CheckpointError, ConfigError

FILE = "ema.safetensors"


class Ema(Callback):
    """`average ← decay · average + (1 − decay) · weights` after every update, in float32.

    Early on the decay is `(1 + t) / (10 + t)` if that is less (as in TensorFlow's
    ExponentialMovingAverage), so that the start is forgotten soon.
    """

    def __init__(self, module: nn.Module, *, decay: float, rank: int = 0) -> None:
        self.decay, self.rank, self.updates = decay, rank, 0
        self.weights = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.average = {n: p.detach().float().clone() for n, p in self.weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in this step's weights."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, weight in self.weights.items():
            self.average[name].lerp_(weight.float(), 1 - keep)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averaged weights; afterwards its own again.

        Weights in float32 are not copied: inside it they are the average itself, to be read only.
        """
        with exchanged(self.weights, self.average):
            yield

    def save(self, folder: Path, writes: Writes) -> None:
        """The average, to resume from."""
        if self.rank == 0:
            said = {"updates": str(self.updates)}
            writes.tensors(folder / FILE, list(self.average), self.average.items(), said)

    def load(self, folder: Path) -> None:
        """What `save` wrote. Raises CheckpointError."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(folder / FILE, "pt") as file:
                self.updates = int(file.metadata()["updates"])
                for name, tensor in self.average.items():
                    tensor.copy_(file.get_tensor(name))
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise CheckpointError(
                str(folder / FILE),
                str(error),
                fix="remove this checkpoint: the run goes on from an earlier one",
            ) from error


@contextlib.contextmanager
def exchanged(
    weights: Mapping[str, nn.Parameter], others: Mapping[str, torch.Tensor]
) -> Iterator[None]:
    """Inside it, each of `weights` has the value of that name in `others`, of which no copy is made
    where it is of the same dtype and on the same device."""
    own = {name: weight.data for name, weight in weights.items()}
    for name, weight in weights.items():
        weight.data = others[name].to(weight.device, weight.dtype)
    try:
        yield
    finally:
        for name, weight in weights.items():
            weight.data = own[name]


def check_ema(decay: float | None, strategy: str) -> None:
    """ConfigError where the average cannot be kept: every rank has to hold whole weights."""
    if decay is None:
        return
    if not 0 < decay < 1:
        raise ConfigError("stage.ema", f"{decay}", expected="a decay between 0 and 1, as 0.999")
    if strategy not in ("single", "ddp"):
        raise ConfigError(
            "stage.ema",
            f"{decay}, with launch.strategy={strategy}",
            expected="single or ddp: the others split weights over ranks",
            fix="set stages.NAME.ema=null, or choose launch=ddp",
        )
