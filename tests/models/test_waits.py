"""What makes the host wait for the GPU inside forward and backward: each place, why it stays."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from affect_mllm import config
from affect_mllm.data.collate import collate
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.types import Batch
from tests import tiny_experiments
from tests.contracts.test_experiments import EXPERIMENTS, watched_batch
from tests.tiny import examples as tiny_examples

ATEN = torch.ops.aten
# Their result's size, or the number itself, is known only when the device is done.
WAITS = (
    ATEN._local_scalar_dense.default,
    ATEN.nonzero.default,
    ATEN.masked_select.default,
    ATEN.unique_consecutive.default,
    ATEN._unique2.default,
    ATEN.repeat_interleave.Tensor,
)
PICKS = (ATEN.index.Tensor, ATEN.index_put.default, ATEN.index_put_.default)
RAGGED = "an encoder that runs in the step reads items of unequal length without their padding"
# (file, function): why it waits. States from the cache pass none of the encoders' places.
STAY = {
    ("compressor/base.py", "<listcomp>"): "unequally many tokens of an encoder whose states' mask "
    "its input's mask does not decide (Encoder.state_mask)",
    ("autograd", ""): "the gradient of that",
    ("transformers/models", ""): "transformers' own code around a mask or the sizes of pictures",
}

MIXED = (("face", "audio", "text"), ("face",), ("audio", "text"))


class Waiting(TorchDispatchMode):
    """Counts, by place, the reads of what comes from `parameters` and moved tensors."""

    def __init__(self, known: list[torch.Tensor]) -> None:
        super().__init__()
        self.found: Counter[tuple[str, str]] = Counter()
        self.on_device = WeakTensorKeyDictionary()
        for tensor in known:
            self.on_device[tensor] = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = torch.utils._pytree.tree_leaves((args, kwargs or {}))
        tensors = [each for each in given if isinstance(each, torch.Tensor)]
        device = any(each in self.on_device for each in tensors)
        by_mask = func in PICKS and any(
            each is not None and each.dtype == torch.bool for each in args[1]
        )
        if device and (func in WAITS or by_mask):
            self.found[_place()] += 1
        made = func(*args, **(kwargs or {}))
        if device:
            for each in torch.utils._pytree.tree_leaves(made):
                if isinstance(each, torch.Tensor):
                    self.on_device[each] = True
        return made


def _place() -> tuple[str, str]:
    """File and function of the innermost frame of ours or of a model of transformers."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if "transformers/models/" in name:
            return "transformers/models", ""
        if "/affect_mllm/" in name:
            return "/".join(name.split("/")[-2:]), frame.f_code.co_name
        frame = frame.f_back
    return "autograd", ""


def moved(batch: Batch) -> Batch:
    """As `Batch.to` would leave it for a GPU: other tensors than the host's."""

    def copied(items: Any) -> Any:
        return replace(items, values=items.values.clone(), mask=items.mask.clone())

    tensors = ("input_ids", "labels", "position_ids", "segments")
    changes: dict[str, Any] = {name: getattr(batch, name).clone() for name in tensors}
    changes["media"] = {name: copied(items) for name, items in batch.media.items()}
    return replace(batch, **changes, host=batch)


def tensors_of(batch: Batch) -> list[torch.Tensor]:
    own = [batch.input_ids, batch.labels, batch.position_ids, batch.segments]
    return own + [each for m in batch.media.values() for each in (m.values, m.mask)]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_step_waits_only_where_it_is_said(name, tiny, tmp_path) -> None:
    cfg = tiny_experiments.experiment(tiny, name, tmp_path)
    torch.manual_seed(0)
    model: Any = config.build(cfg.model).train()
    batch = moved(watched_batch(tiny, cfg, model))
    objective = Objective({"lm": TokenLoss()})
    counts = objective.counts(batch)
    assert counts["lm"] > 0
    with Waiting([*model.parameters(), *model.buffers(), *tensors_of(batch)]) as waiting:
        terms = model(batch, objective)
        objective.total(terms.losses, counts).backward()
    unsaid = {place: count for place, count in waiting.found.items() if place not in STAY}
    assert not unsaid, f"{name} waits in {unsaid}"


def test_of_states_from_the_cache_it_waits_nowhere(tiny) -> None:
    model = tiny.model().train()
    batch = moved(collate(tiny_examples(tiny, model, MIXED), pad_id=0))
    assert all(items.encoded for items in batch.media.values())
    objective = Objective({"lm": TokenLoss()})
    counts = objective.counts(batch)
    with Waiting([*model.parameters(), *model.buffers(), *tensors_of(batch)]) as waiting:
        terms = model(batch, objective)
        objective.total(terms.losses, counts).backward()
    assert waiting.found == {}


def test_a_step_of_affectgpt_waits_twice_for_losses_and_for_the_norm() -> None:
    """At its real widths, with two layers, by the benchmark that docs/training.md tells of."""
    from benchmarks import step_ops

    found = step_ops.counted(num_hidden_layers=2)
    assert found["waits"] == {"train/layout/engine.py, _clip": 1, "train/step/tally.py, read": 1}
    assert sum(found["attention"].values()) == 4, "one kernel a layer, one more backward"
    assert all(found["ops"][phase] for phase in step_ops.PHASES)
