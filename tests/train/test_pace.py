"""What a run shows: counted FLOPs, device peaks, a step that is stuck."""

from __future__ import annotations

import json
import math
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from affect_mllm.train.main import main
from affect_mllm.train.step.beside import coming
from affect_mllm.train.watch import pace as pace_module
from affect_mllm.train.watch.pace import Pace
from affect_mllm.train.watch.peaks import Peak, measured, peak, published
from affect_mllm.train.watch.watchdog import Watchdog
from affect_mllm.types import Batch, ExitCode

BF16 = torch.bfloat16


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA H20", 148.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA L40S", 362.1),
        ("NVIDIA A10", 125.0),
        ("NVIDIA A10G", 70.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
    ],
)
def test_dense_peaks_of_the_data_sheets(name, tflops) -> None:
    assert published(name, BF16) == Peak(tflops * 1e12, "published")


def test_a_device_that_is_not_listed_has_no_published_peak() -> None:
    assert published("NVIDIA GeForce RTX 4090 D", BF16) is None
    assert published("Imaginary 9000", BF16) is None
    assert published("NVIDIA A100-SXM4-80GB", torch.float32) is None


def test_a_v100_has_a_peak_for_fp16_only() -> None:
    assert published("Tesla V100-SXM2-16GB", torch.float16) == Peak(125e12, "published")
    assert published("Tesla V100-SXM2-16GB", BF16) is None


def test_a_cpu_is_measured() -> None:
    found = peak(torch.device("cpu"), torch.float32)
    assert found.source == "measured"
    assert 0 < measured(torch.device("cpu"), torch.float32, size=64).flops_per_s < math.inf
    assert found.flops_per_s > 1e8


def batch(real: int, padding: int) -> Batch:
    segments = torch.tensor([[0] * real + [-1] * padding])
    zeros = torch.zeros_like(segments)
    return Batch(zeros, zeros, zeros, segments, (), {}, ("a",))


def test_flops_are_counted_once_by_hand_and_scaled_by_real_tokens(monkeypatch) -> None:
    monkeypatch.setattr(pace_module, "peak", lambda device, dtype: Peak(1e6, "published"))
    pace = Pace(torch.device("cpu"), torch.float32)
    layer, head = nn.Linear(8, 16, bias=False), nn.Linear(16, 4, bias=False)
    layer.weight.requires_grad_(False)
    inputs = torch.randn(10, 8, requires_grad=True)
    with pace.watching():
        head(layer(inputs)).sum().backward()
    # forward of both, input gradients of both, weight gradient of the head alone
    expected = 2 * 10 * (8 * 16 * 2 + 16 * 4 * 3)
    row = pace.numbers((batch(10, 6),), {"supervised_tokens": 6, "examples": 2}, 1.5, 0.5)
    assert row["flops"] == expected
    assert row["tokens"] == 10
    assert row["mfu"] == pytest.approx(expected / 2.0 / 1e6)
    assert (row["supervised_tokens_per_s"], row["samples_per_s"]) == (3.0, 1.0)
    assert row["data_wait"] == 0.25
    assert row["mfu_peak"] == "published"
    with pace.watching():  # not counted again
        head(layer(inputs)).sum().backward()
    twice = (batch(10, 0), batch(10, 3))
    again = pace.numbers(twice, {"supervised_tokens": 6, "examples": 2}, 1.0, 0.0)
    assert again["flops"] == 2 * expected


def test_a_run_writes_down_how_fast_and_how_full_it_is(tiny, tmp_path) -> None:
    given = ("~stages.align", "~stages.emotion")
    assert main(tiny.overrides(tmp_path, *given)) == ExitCode.DONE
    lines = (tmp_path / "instruct/metrics.jsonl").read_text().splitlines()
    for row in map(json.loads, lines):
        assert 0 < row["mfu"] < 1
        assert row["mfu_peak"] == "measured"
        assert row["flops"] > 0
        assert 0 <= row["data_wait"] <= 1
        assert row["memory_gb"] > 0.1
        assert set(row["grad_norms"]) == set(row["lr"]) == {"lora", "fusion", "compressors"}
        assert math.hypot(*row["grad_norms"].values()) == pytest.approx(row["grad_norm"], rel=1e-4)


def test_the_watchdog_names_rank_step_phase_and_line_once(monkeypatch) -> None:
    monkeypatch.setenv("RANK", "3")
    said: list[str] = []
    heard = threading.Event()

    def say(message: str) -> None:
        said.append(message)
        heard.set()

    dog = Watchdog(limit_s=0.05, say=say)
    with dog:
        dog.at(7, "backward of micro-batch 2")
        assert heard.wait(30), "it said nothing"
        heard.clear()
        dog.at(8, "saving")
        assert heard.wait(30), "it spoke only once"
    assert "rank 3: step 7 is stuck in backward of micro-batch 2" in said[0]
    assert "main thread is at" in said[0]
    assert "in wait" in said[0]
    assert "step 8 is stuck in saving" in said[1]
    assert len(said) == 2


def test_the_watchdog_is_silent_while_phases_change() -> None:
    said: list[str] = []
    dog = Watchdog(limit_s=60, say=said.append)
    with dog:
        for step in range(1000):
            dog.at(step, "forward")
    assert said == []


def test_first_weights_read_a_batch_in_the_phase_of_its_own_pass() -> None:
    told: list[str] = []

    def beside(batch: Any) -> Any:
        told.append(f"first weights of {batch.name}")
        return batch

    def batch(name: int) -> Any:
        made = SimpleNamespace(name=name)
        made.to = lambda _device: made
        return made

    reference: Any = SimpleNamespace(beside=beside)
    engine: Any = SimpleNamespace(splits=False, device=torch.device("cpu"))
    for number, micro in coming(reference, engine, [batch(1), batch(2)], told.append):
        told.append(f"pass {number} of {micro.name}")
    assert told == [
        *("forward of micro-batch 1", "first weights of 1", "pass 1 of 1"),
        *("forward of micro-batch 2", "first weights of 2", "pass 2 of 2"),
    ]
