"""Norms of gradients, by group and whole, against torch's own."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from affect_mllm.train.layout.gradients import multiply, squares
from tests.processes import finished
from tests.train import adding


class Counted(TorchDispatchMode):
    """The operations that ran inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_norms_of_groups_and_clipping_are_torchs_own_in_few_operations() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 3) for _ in range(100)]
    sum(layer(torch.randn(5, 3)).square().sum() for layer in layers).backward()
    groups = {"a": layers[:40], "b": layers[40:], "none": []}
    grads = {
        n: [p.grad for layer in part for p in layer.parameters()] for n, part in groups.items()
    }
    flat = {name: [grad.flatten() for grad in part] for name, part in grads.items()}
    expected = [float(torch.cat(part).norm()) if part else 0.0 for part in flat.values()]
    with Counted() as counted:
        found = squares(grads, torch.device("cpu"))
    assert found.sqrt().tolist() == pytest.approx(expected)
    everything = [grad for part in grads.values() for grad in part]
    twins = [nn.Parameter(torch.zeros_like(grad)) for grad in everything]
    for twin, grad in zip(twins, everything, strict=True):
        twin.grad = grad.clone()
    norm = float(nn.utils.clip_grad_norm_(twins, 0.5))
    assert math.sqrt(found.sum()) == pytest.approx(norm)
    with counted:
        multiply(everything, 0.5 / (norm + 1e-6))
    for twin, grad in zip(twins, everything, strict=True):
        torch.testing.assert_close(grad, twin.grad)
    assert len(counted.names) <= 12  # 200 tensors: 1 kernel a group and a few on [G]


def test_ranks_add_up_bucket_by_bucket_whatever_each_of_them_used(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    code, said = finished([*launcher, "-m", "tests.train.adding", str(out)])
    assert code == 0, said
    ranks = json.loads(out.read_text())
    layers = adding.model()
    for rank, used in enumerate(adding.USED):
        for number in range(adding.PASSES):
            adding.loss_of(layers, used, 100 + 10 * rank + number).backward()
    for name, parameter in layers.named_parameters():
        wanted = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for rank in ranks:
            torch.testing.assert_close(torch.tensor(rank["grads"][name]), wanted, msg=name)
    assert ranks[0]["buckets"] == 5
    # Before `finish`, in the last pass: all that rank 0 used; on rank 1 layer 3 holds up 2 and 1.
    assert [rank["sent"] for rank in ranks] == [[0, 0, 4] * 2, [0, 0, 1] * 2]
