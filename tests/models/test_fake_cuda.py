"""The decoder and the towers on a GPU that is not there: which kernel, no waiting, nothing of L².

FakeTensorMode has shapes, dtypes and devices and no numbers, so that what mixes devices or asks the
device for a number raises. torch's own backward there needs a driver; it is run on the meta device
(`tests/contracts/test_on_gpu.py` goes backward there node by node).
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from affect_mllm.borders import Borders
from affect_mllm.models.llm import attention
from affect_mllm.models.llm.deepstack import Deep
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.precision import autocast_on_meta
from affect_mllm.types import ConfigError
from tests import tiny_vlm
from tests.fake_cuda import Seen, gpu, moved, on_gpu, pinnable

LENGTHS = (5000, 3000, 192)
LENGTH = sum(LENGTHS)  # 8,192
VARLEN = ("torch_attn::_varlen_attn", "torch_attn::_varlen_attn_backward")
CASES = [
    ("auto", "bfloat16", True),
    ("varlen", "bfloat16", True),
    ("auto", "float32", False),
    ("blocked", "bfloat16", False),
]


def decoder(tiny, monkeypatch, asked: Any, dtype: Any) -> LanguageModel:
    """A tiny one as it is built on a machine with a GPU; all of it trains."""
    with gpu(monkeypatch):
        made = LanguageModel(str(tiny.root / "llm"), dtype=dtype, attention=asked)
    return made.requires_grad_(True)


def row() -> tuple[torch.Tensor, Borders]:
    """Ids of one row of 8,192, and the borders of its examples."""
    return torch.zeros(1, LENGTH, dtype=torch.long), Borders.between(LENGTHS)


@pytest.mark.parametrize(("asked", "dtype", "fused"), CASES)
def test_the_decoder_takes_its_kernel_waits_for_nothing_and_makes_nothing_of_l_squared(
    tiny, monkeypatch, asked, dtype, fused: bool
) -> None:
    mode, seen = FakeTensorMode(), Seen()
    llm: Any = moved(decoder(tiny, monkeypatch, asked, dtype), mode)
    ids, borders = on_gpu(row(), mode)
    with mode, seen:
        states = llm.hidden_states(llm.embed(ids), ids, ids, borders=borders)
    assert states.shape == (1, LENGTH, llm.hidden_size)
    assert states.device.type == "cuda"
    assert (VARLEN[0] in seen.names) == fused
    assert 0 < seen.most < LENGTH**2


@pytest.mark.parametrize(
    ("dtype", "autocast", "fused"),
    [("bfloat16", None, True), ("float32", torch.bfloat16, True), ("float32", None, False)],
)
def test_backward_makes_nothing_of_l_squared_either(
    tiny, monkeypatch, dtype, autocast, fused: bool
) -> None:
    """On meta, where asking for a number raises as well; `unfit` takes it for a GPU.

    The precision of autocast counts, not that of the weights.
    """
    llm, seen = decoder(tiny, monkeypatch, "auto", dtype).to("meta"), Seen(torch.Tensor)
    fits = attention.unfit
    monkeypatch.setattr(attention, "unfit", lambda _, value: fits("cuda", value))
    ids, borders = row()
    ids, borders = ids.to("meta"), borders.to(torch.device("meta"))
    with seen:
        with autocast_on_meta(autocast):
            states = llm.hidden_states(llm.embed(ids), ids, ids, borders=borders)
        states.float().sum().backward()
    assert all((name in seen.names) == fused for name in VARLEN)
    assert 0 < seen.most < LENGTH**2
    used = [p for n, p in llm.named_parameters() if "lm_head" not in n]
    assert all(p.grad is not None for p in used)


def test_a_mask_of_blocks_would_be_seen(tiny, monkeypatch) -> None:
    mode, seen = FakeTensorMode(), Seen()
    llm: Any = moved(decoder(tiny, monkeypatch, "sdpa", "bfloat16"), mode)
    ids, _ = on_gpu(row(), mode)
    with mode, seen:
        llm.hidden_states(llm.embed(ids), ids, ids)
    assert seen.most >= LENGTH**2


def test_borders_asked_of_the_device_would_be_noticed(tiny, monkeypatch) -> None:
    mode = FakeTensorMode()
    llm: Any = moved(decoder(tiny, monkeypatch, "auto", "bfloat16"), mode)
    ids, _ = on_gpu(row(), mode)
    with mode, pytest.raises(torch._subclasses.fake_tensor.DynamicOutputShapeException):
        llm.hidden_states(llm.embed(ids), ids, ids)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen2_vl", "qwen3_vl"])
def test_towers_take_the_same_kernel_between_pictures_and_windows(
    tiny, tmp_path_factory, monkeypatch, kind: str, dtype: str
) -> None:
    folder = tiny_vlm.build(tiny, tmp_path_factory.mktemp("vlm"), kind)
    with gpu(monkeypatch):
        model = tiny_vlm.model(folder, dtype=dtype, attention="auto")
    grids = ((1, 64, 64), (2, 32, 64))
    mode, seen, tower = FakeTensorMode(), Seen(), model._tower
    plan = tower.plan(grids, LENGTH // 2)
    moved(tower, mode)
    values, mask, tensors = on_gpu(
        (
            torch.zeros(2, LENGTH // 2, tower.patch_length, dtype=torch.uint8),
            torch.ones(2, LENGTH // 2, dtype=torch.bool),
            (plan.pictures, plan.windows, dict(plan.tensors)),
        ),
        mode,
    )
    ready = type(plan)(plan.grids, *tensors)
    pinnable(monkeypatch)
    with mode, seen:
        states = tower(values, mask, grids, plan=ready)
    assert states.values.shape == (2, LENGTH // 2, tower.hidden_size)
    assert (VARLEN[0] in seen.names) == (dtype == "bfloat16")
    assert 0 < seen.most < LENGTH**2


@pytest.mark.parametrize("attention", ["auto", "sdpa"])
def test_deepstack_is_added_where_the_host_says_without_waiting(
    tiny, tmp_path_factory, monkeypatch, attention: str
) -> None:
    folder = tiny_vlm.build(tiny, tmp_path_factory.mktemp("vlm"), "qwen3_vl")
    with gpu(monkeypatch):
        llm: Any = tiny_vlm.model(folder, dtype="bfloat16", attention=attention).llm
    mode = FakeTensorMode()
    moved(llm, mode)
    features = torch.zeros(64, llm.hidden_size)
    ids, borders = row()
    deep = (torch.arange(100, 164), (features, features))
    ids, borders, deep = on_gpu((ids, borders, deep), mode)
    with mode:
        states = llm.hidden_states(
            llm.embed(ids), ids, ids.expand(3, -1, -1), borders=borders, deep=Deep(*deep)
        )
    assert states.shape == (1, LENGTH, llm.hidden_size)


def test_a_kernel_asked_for_by_name_refuses_what_it_cannot_compute(tiny, monkeypatch) -> None:
    mode = FakeTensorMode()
    llm: Any = moved(decoder(tiny, monkeypatch, "varlen", "float32"), mode)
    ids, borders = on_gpu(row(), mode)
    with mode, pytest.raises(ConfigError, match=r"varlen, but .*float32(.|\n)*precision"):
        llm.hidden_states(llm.embed(ids), ids, ids, borders=borders)
