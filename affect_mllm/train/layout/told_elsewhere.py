"""What was told to a launcher outside of the configuration, and where the two disagree."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from affect_mllm.types import ConfigError

TRUE = ("true", "1", "yes")
START = "start with `torchrun --nproc_per_node N train.py …`"


class Layout(Protocol):
    """What of `conf/launch` a launcher may contradict."""

    @property
    def strategy(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def micro_batches(self) -> int: ...
    @property
    def processes(self) -> int | None: ...


def cpu_asked() -> bool:
    """Whether accelerate was told to stay on the CPU."""
    return _env("ACCELERATE_USE_CPU") in TRUE


def check(launch: Layout, *, stage: int | None, max_norms: Sequence[float]) -> None:
    """ConfigError with both values of everything that disagrees; `stage` is ZeRO's, if any."""
    found = [*_processes(launch), *_engines(launch, stage), *_values(launch, max_norms)]
    if found:
        lines = "".join(f"\n  {line}" for line in found)
        raise ConfigError(
            "launch",
            f"the launcher was told something else{lines}",
            expected="settings in conf/launch and the stage only",
            fix="leave them out of accelerate's and DeepSpeed's configuration and environment",
        )


def check_started(running: int) -> None:
    """ConfigError when another number of processes runs than was asked for."""
    asked = int(os.environ.get("WORLD_SIZE", "1"))
    if running != asked:
        raise ConfigError("launch", f"{running} process(es) run, {asked} were asked for", fix=START)


def _processes(launch: Layout) -> Iterator[str]:
    asked = int(os.environ.get("WORLD_SIZE", "1"))
    if launch.strategy == "single" and asked > 1:
        yield (
            f"launch.strategy: single, but {asked} processes were started; use launch=ddp, or "
            "another strategy"
        )
    prepared = "MASTER_ADDR" in os.environ and "ACCELERATE_MIXED_PRECISION" in os.environ
    if prepared and "WORLD_SIZE" not in os.environ:
        yield (
            "accelerate was asked for several processes and started one, as it does with --cpu; "
            f"{START}"
        )
    elif launch.strategy == "ddp" and asked == 1:
        yield f"launch.strategy: ddp, but one process was started; {START}, or use launch=single"
    elif launch.strategy != "single" and "LOCAL_RANK" not in os.environ:
        yield f"launch.strategy: {launch.strategy}, but no launcher started this process; {START}"
    if launch.processes is not None and launch.processes != asked:
        yield f"launch.processes: {launch.processes}, but {asked} were started; {START}"


def _engines(launch: Layout, stage: int | None) -> Iterator[str]:
    mine = f"launch.strategy: {launch.strategy}"
    for key, name in (
        ("ACCELERATE_USE_FSDP", "FSDP"),
        ("ACCELERATE_USE_MEGATRON_LM", "Megatron-LM"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "a parallelism config"),
    ):
        if _env(key) in TRUE:
            yield f"{mine}, but accelerate asks for {name} ({key}=true)"
    file = _env("ACCELERATE_DEEPSPEED_CONFIG_FILE")
    if file not in ("", "none"):
        yield f"{mine}, but accelerate asks for DeepSpeed's {file}{_file_says(file)}"
    elif _env("ACCELERATE_USE_DEEPSPEED") in TRUE:
        wanted = _env("ACCELERATE_DEEPSPEED_ZERO_STAGE")
        if stage is None:
            yield f"{mine}, but accelerate asks for DeepSpeed (ZeRO stage {wanted or 'unset'})"
        elif wanted and wanted != str(stage):
            yield f"{mine} (stage {stage}), but accelerate asks for ZeRO stage {wanted}"
    for part in ("OPTIMIZER", "PARAM"):
        device = _env(f"ACCELERATE_DEEPSPEED_OFFLOAD_{part}_DEVICE")
        if device not in ("", "none") and launch.strategy != "zero3_offload":
            yield f"{mine}, but accelerate asks to offload the {part.lower()} to {device}"


def _values(launch: Layout, max_norms: Sequence[float]) -> Iterator[str]:
    precision = _env("ACCELERATE_MIXED_PRECISION")
    if precision not in ("", "no", launch.precision):
        yield f"launch.precision: {launch.precision}, but accelerate asks for {precision}"
    steps = _env("ACCELERATE_GRADIENT_ACCUMULATION_STEPS")
    if steps not in ("", "auto", "1", str(launch.micro_batches)):
        yield (
            f"launch.micro_batches: {launch.micro_batches}, but accelerate asks for "
            f"{steps} accumulation steps"
        )
    clip = _env("ACCELERATE_GRADIENT_CLIPPING")
    if clip not in ("", "auto", "none") and any(float(clip) != norm for norm in max_norms):
        yield f"stage.max_grad_norm: {sorted(set(max_norms))}, but accelerate clips to {clip}"
    dynamo = _env("ACCELERATE_DYNAMO_BACKEND")
    if dynamo not in ("", "no"):
        yield f"accelerate asks for torch.compile ({dynamo}), which it would not do here"


def _file_says(file: str) -> str:
    try:
        stage = json.loads(Path(file).read_text())["zero_optimization"]["stage"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f" (ZeRO stage {stage})"


def _env(key: str) -> str:
    value = os.environ.get(key, "")
    return value if key.endswith("_FILE") else value.lower()
