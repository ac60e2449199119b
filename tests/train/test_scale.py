"""fp16: the loss is scaled, overflows are left out and counted on, and training goes on."""

from __future__ import annotations

import json
import math

import pytest

from affect_mllm.train.layout.loss_scale import GROWTH_STEPS, LossScale
from affect_mllm.train.main import main
from affect_mllm.types import ExitCode


def test_it_halves_after_an_overflow_and_doubles_after_many_good_steps() -> None:
    scale = LossScale(enabled=True)
    first = scale.value[0]
    assert not scale.keep(math.inf)
    assert not scale.keep(math.nan)
    assert scale.value == (first / 4, 0)
    assert all(scale.keep(1.0) for _ in range(GROWTH_STEPS))
    assert scale.value == (first / 2, 0)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_whole_run_over_float32_weights(tiny, tmp_path, precision: str) -> None:
    """On the CPU, whose autocast knows fp16 as well."""
    given = (f"launch.precision={precision}", "stage=align", "stages.align.steps=6")
    assert main(tiny.overrides(tmp_path, *given)) == ExitCode.DONE
    lines = (tmp_path / "align/metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < losses[0]


def test_a_loss_scale_below_one_is_no_longer_at_fault() -> None:
    scale = LossScale(enabled=True)
    assert scale.may_shrink
    for _ in range(64):
        assert not scale.keep(math.inf)
    assert not scale.may_shrink
    assert not LossScale(enabled=False).may_shrink
