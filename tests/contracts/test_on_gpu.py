"""A step of every experiment on a GPU that is not there: no device mixed in, no wait for it.

Forward and backward, under FakeTensorMode: what asks the device for numbers raises.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from affect_mllm import config
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.token import TokenLoss
from tests import tiny_experiments
from tests.contracts.test_experiments import EXPERIMENTS, watched_batch
from tests.fake_cuda import Machine, Seen, backward, gpu, moved, on_gpu, pinnable


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_step_runs_forward_and_backward(name, tiny, tmp_path, monkeypatch) -> None:
    cfg = tiny_experiments.experiment(tiny, name, tmp_path)
    torch.manual_seed(0)
    with gpu(monkeypatch):
        model: Any = config.build(cfg.model).train()
    host = watched_batch(tiny, cfg, model)
    objective = Objective({"lm": TokenLoss()})
    counts = objective.counts(host)
    mode, seen = Machine(), Seen()
    moved(model, mode)
    batch = replace(host.each(lambda tensor: on_gpu(tensor, mode)), host=host)
    pinnable(monkeypatch)
    with mode, seen:
        terms = model(batch, objective)
        loss = objective.total(terms.losses, counts)
        backward(loss)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is None or p.grad.device.type == "cuda" for p in trained)
    assert any(p.grad is not None for p in trained)
