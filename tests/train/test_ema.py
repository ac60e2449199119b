"""The running average: its values, what is kept of it, and a resume that goes on with it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from affect_mllm.models import checkpoint
from affect_mllm.models.tensor_file import Writes
from affect_mllm.train.keep.ema import Ema, check_ema
from affect_mllm.train.main import main
from affect_mllm.types import CheckpointError, ConfigError, ExitCode
from tests.train.resuming import stop_after

ALONE = ("~stages.align", "~stages.emotion", "stages.instruct.steps=6")


def test_values_by_hand_and_weights_that_come_back() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    ema = Ema(layer, decay=0.5)
    for value, average in ((3.0, 1.0 * 2 / 11 + 3.0 * 9 / 11), (5.0, None)):
        nn.init.constant_(layer.weight, value)
        ema.update()
        if average is not None:
            assert ema.average["weight"].item() == pytest.approx(average)
    second = average_after = (1.0 * 2 / 11 + 27 / 11) * 0.25 + 5.0 * 0.75
    assert ema.average["weight"].item() == pytest.approx(second)
    with ema.in_place():
        assert layer.weight.item() == pytest.approx(average_after)
    assert layer.weight.item() == 5.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_average_takes_the_weights_place_and_loses_nothing(dtype: torch.dtype) -> None:
    """In float32 without a copy; a weight in 16 bits is given the average rounded."""
    layer = nn.Linear(3, 2, bias=False, dtype=dtype)
    ema, first = Ema(layer, decay=0.9), layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.add_(1)
    ema.update()
    second, kept = layer.weight.detach().clone(), ema.average["weight"].clone()
    assert not torch.equal(kept, first.float())
    with ema.in_place():
        assert torch.equal(layer.weight, kept.to(dtype))
        shared = layer.weight.data_ptr() == ema.average["weight"].data_ptr()
        assert shared == (dtype == torch.float32)
    assert torch.equal(layer.weight, second)
    assert torch.equal(ema.average["weight"], kept)


def test_a_file_that_is_not_its_own_is_refused(tmp_path) -> None:
    ema = Ema(nn.Linear(1, 1), decay=0.5)
    with pytest.raises(CheckpointError, match=r"ema\.safetensors"):
        ema.load(tmp_path)
    Ema(nn.Linear(2, 1), decay=0.5).save(tmp_path, Writes())
    with pytest.raises(CheckpointError, match=r"ema\.safetensors"):
        ema.load(tmp_path)


@pytest.mark.parametrize(
    ("decay", "strategy", "said"),
    [(1.0, "single", "between 0 and 1"), (0.0, "ddp", "between"), (0.9, "zero3", "launch=ddp")],
)
def test_what_cannot_be_averaged_is_refused(decay, strategy, said) -> None:
    with pytest.raises(ConfigError, match=said):
        check_ema(decay, strategy)
    check_ema(0.9, "ddp")
    check_ema(None, "zero3")


def test_the_final_checkpoint_is_the_average_and_a_resume_goes_on_with_it(
    tiny, tmp_path, monkeypatch
) -> None:
    averaged = [*ALONE, "+stages.instruct.ema=0.8"]
    assert main(tiny.overrides(tmp_path / "plain", *ALONE)) == ExitCode.DONE
    assert main(tiny.overrides(tmp_path / "whole", *averaged)) == ExitCode.DONE
    plain, whole = (
        load_file(tmp_path / name / "instruct/final" / checkpoint.WEIGHTS)
        for name in ("plain", "whole")
    )
    assert any(not torch.equal(plain[name], whole[name]) for name in plain)
    losses = [
        [json.loads(x)["loss"] for x in rows.read_text().splitlines()]
        for rows in (tmp_path / n / "instruct/metrics.jsonl" for n in ("plain", "whole"))
    ]
    assert losses[0] == losses[1], "averaging must not touch the training"

    with monkeypatch.context() as patch:
        stop_after(3, patch)
        assert main(tiny.overrides(tmp_path / "two", *averaged)) == ExitCode.STOPPED
    assert main(tiny.overrides(tmp_path / "two", *averaged)) == ExitCode.DONE
    resumed = load_file(tmp_path / "two/instruct/final" / checkpoint.WEIGHTS)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
