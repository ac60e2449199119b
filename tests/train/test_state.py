"""What an optimiser keeps is saved whole, numbers too, and a resume under 8 bits loses nothing."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from affect_mllm.models import checkpoint
from affect_mllm.models.tensor_file import Writes
from affect_mllm.train.layout import engine_state
from affect_mllm.train.main import main
from affect_mllm.types import CheckpointError, ExitCode
from tests.train.resuming import stop_after

EIGHT_BITS = (
    "~stages.align",
    "~stages.emotion",
    "stages.instruct.steps=6",
    "+stages.instruct.optimizer={_target_: affect_mllm.train.plan.optim.AdamW, bits: 8}",
)


class Counting(torch.optim.SGD):
    """A step that depends on a number and a flag in its state, as bias correction does."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """The n-th step goes 1 / n as far, every other one backwards."""
        for parameter in self.param_groups[0]["params"]:
            kept = self.state[parameter]
            kept["count"] = kept.get("count", 0) + 1
            kept["share"] = kept.get("share", 0.1) / 3
            kept["back"] = not kept.get("back", True)
            sign = -1 if kept["back"] else 1
            parameter.add_(parameter.grad, alpha=sign * kept["share"] / kept["count"])


def stepped(layer: nn.Linear, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        layer.weight.grad = torch.ones_like(layer.weight)
        optimizer.step()


def test_numbers_in_an_optimisers_state_come_back_exactly(tmp_path) -> None:
    layer = nn.Linear(3, 2, bias=False)
    optimizer = Counting(layer.parameters(), lr=1.0)
    stepped(layer, optimizer, 3)
    engine_state.write_moments(tmp_path, engine_state.moments(layer, optimizer), (1.0, 0), Writes())
    again = nn.Linear(3, 2, bias=False)
    again.load_state_dict(layer.state_dict())
    resumed = Counting(again.parameters(), lr=1.0)
    assert engine_state.read_moments(tmp_path, again, resumed) == (1.0, 0)
    assert resumed.state[again.weight] == optimizer.state[layer.weight]
    stepped(layer, optimizer, 2)
    stepped(again, resumed, 2)
    assert torch.equal(again.weight, layer.weight)


def test_a_state_that_cannot_be_saved_is_refused() -> None:
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    optimizer.state[layer.weight]["history"] = [1, 2]
    with pytest.raises(CheckpointError, match=r"SGD's state 'history' of weight(.|\n)*list"):
        engine_state.moments(layer, optimizer)


def test_under_eight_bits_a_resumed_run_is_the_whole_one(tiny, tmp_path, monkeypatch) -> None:
    assert main(tiny.overrides(tmp_path / "whole", *EIGHT_BITS)) == ExitCode.DONE
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        assert main(tiny.overrides(tmp_path / "two", *EIGHT_BITS)) == ExitCode.STOPPED
    engine = tmp_path / "two/instruct/step-000003/engine"
    kinds = {
        tensor.dtype
        for tensor in load_file(engine / engine_state.MOMENTS / "00000.safetensors").values()
    }
    assert torch.uint8 in kinds, "moments in 8 bits"
    steps = json.loads((engine / engine_state.NUMBERS).read_text())
    assert set(steps.values()) == {3}
    assert main(tiny.overrides(tmp_path / "two", *EIGHT_BITS)) == ExitCode.DONE
    whole, resumed = (
        load_file(tmp_path / name / "instruct/final" / checkpoint.WEIGHTS)
        for name in ("whole", "two")
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
