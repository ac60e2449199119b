"""Two ranks that use different layers add their gradients up, bucket by bucket.

`torchrun --nproc_per_node 2 -m tests.train.adding OUT.json` writes what each rank found.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from affect_mllm.train.layout import gradients

USED = ((1, 2, 3, 4), (2, 4))  # each rank's layers, in its order; 0 is used by none
PASSES = 3


def loss_of(layers: nn.ModuleList, used: tuple[int, ...], seed: int) -> torch.Tensor:
    states = torch.randn(6, 8, generator=torch.Generator().manual_seed(seed))
    for number in used:
        states = layers[number](states).tanh()
    return states.square().sum()


def model() -> nn.ModuleList:
    torch.manual_seed(0)
    return nn.ModuleList(nn.Linear(8, 8) for _ in range(5))


def main(out: str) -> None:
    """Three passes a rank; the last one sends. A bucket holds about a layer."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    gradients.BUCKET = 72
    layers = model()
    added = gradients.OverRanks(list(layers.parameters()), timeout=timedelta(minutes=5))
    sent = []
    for step in range(2):
        for parameter in layers.parameters():
            parameter.grad = None
        for number in range(PASSES):
            if number == PASSES - 1:
                added.begin()
            loss_of(layers, USED[rank], 100 * step + 10 * rank + number).backward()
            sent.append(len(added.sent))
        for parameter in layers.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        added.finish()
    grads = {name: parameter.grad.tolist() for name, parameter in layers.named_parameters()}
    found: list[object] = [None, None]
    dist.all_gather_object(found, {"grads": grads, "sent": sent, "buckets": len(added.buckets)})
    if rank == 0:
        Path(out).write_text(json.dumps(found))
    added.close()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
