"""Layouts that a launcher and the configuration do not agree on are refused, with both values."""

from __future__ import annotations

import json
import sys

import pytest

from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.layout.zero import ZeroSettings, plugin
from affect_mllm.types import ConfigError

TWO = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}


@pytest.mark.parametrize(
    ("strategy", "env", "said"),
    [
        ("single", TWO, ["single", "2 processes"]),
        ("ddp", {}, ["ddp", "one process"]),
        ("fsdp2", {}, ["fsdp2", "no launcher"]),
        ("ddp", {**TWO, "ACCELERATE_USE_FSDP": "true"}, ["ddp", "FSDP"]),
        ("fsdp2", {**TWO, "ACCELERATE_USE_FSDP": "true"}, ["fsdp2", "ACCELERATE_USE_FSDP"]),
        ("ddp", {**TWO, "ACCELERATE_USE_MEGATRON_LM": "true"}, ["Megatron"]),
        (
            "ddp",
            {**TWO, "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
            ["ddp", "ZeRO stage 3"],
        ),
        (
            "zero2",
            {**TWO, "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
            ["zero2 (stage 2)", "ZeRO stage 3"],
        ),
        (
            "zero2",
            {**TWO, "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "cpu"},
            ["zero2", "offload the optimizer to cpu"],
        ),
        ("ddp", {**TWO, "ACCELERATE_MIXED_PRECISION": "fp16"}, ["bf16", "fp16"]),
        (
            "ddp",
            {**TWO, "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "8"},
            ["micro_batches: 2", "8 accumulation steps"],
        ),
        ("ddp", {**TWO, "ACCELERATE_GRADIENT_CLIPPING": "0.1"}, ["[1.0]", "0.1"]),
        ("ddp", {**TWO, "ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}, ["inductor"]),
        (
            "ddp",
            {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_MIXED_PRECISION": "no"},
            ["several processes and started one"],
        ),
    ],
)
def test_what_disagrees_is_refused_with_both_values(monkeypatch, strategy, env, said) -> None:
    for key in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.delenv(key, raising=False)
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ConfigError) as refused:
        Launch(strategy=strategy, micro_batches=2).accelerator(max_norms=[1.0])
    for words in said:
        assert words in str(refused.value)


def test_a_deepspeed_file_is_refused_with_its_stage(monkeypatch, tmp_path) -> None:
    path = tmp_path / "Stage3.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 3}}))
    for key, value in TWO.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(path))
    with pytest.raises(ConfigError, match=r"zero2.*Stage3\.json \(ZeRO stage 3\)"):
        Launch(strategy="zero2").accelerator()


def test_another_number_of_processes_than_asked_for_is_refused(monkeypatch) -> None:
    for key, value in TWO.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ConfigError, match=r"processes: 4, but 2"):
        Launch(strategy="ddp", processes=4).accelerator()


def test_fp16_under_zero_is_refused(monkeypatch) -> None:
    with pytest.raises(ConfigError, match=r"fp16 with strategy=zero3"):
        Launch(strategy="zero3", precision="fp16").accelerator()


def test_zero_without_deepspeed_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(ConfigError, match=r"affect-mllm\[deepspeed\]"):
        Launch(strategy="zero2").accelerator()


def test_zeros_sizes_are_what_deepspeed_is_told() -> None:
    given = ZeroSettings(overlap_comm=True, reduce_bucket_size=7, stage3_max_live_parameters=0)
    for stage, sizes in ((2, {"allgather_bucket_size"}), (3, {"stage3_max_live_parameters"})):
        told = plugin(stage, given, offload=False, persistence_threshold=5).hf_ds_config.config
        zero = told["zero_optimization"]
        assert zero["stage"] == stage
        assert zero["overlap_comm"]
        assert zero["reduce_bucket_size"] == 7
        assert sizes <= zero.keys()
