"""How a run is laid out on machines: strategy, precision, micro-batches, loader workers."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from affect_mllm.data.packing import Budget
from affect_mllm.train.layout import told_elsewhere
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.layout.zero import STAGES, Zero, ZeroSettings, plugin, whole_models
from affect_mllm.types import ConfigError


@dataclass(frozen=True)
class Launch:
    """The one source of layout settings (`conf/launch`).

    `strategy`: `single` is one process; `ddp` has the whole model in each; ZeRO-1 splits the
    optimiser, ZeRO-2 gradients too, ZeRO-3 and `fsdp2` also weights; `zero3_offload` keeps them on
    the CPU. `precision` is what the forward pass computes in; weights that train stay float32.
    `row_tokens` packs short examples into rows of about that many tokens; 0 pads instead.
    `micro_batches` is the least number a step; a `budget` may ask for more.
    `processes`, if given, is how many there have to be. `persistence_threshold`: ZeRO-3 keeps
    smaller weights everywhere; `zero` has ZeRO's other settings. `async_save`: checkpoints to
    resume from are written from copies while the steps go on; null: where a GPU takes the steps.
    `timeout_s`: how long a rank waits for another.
    `workers` processes of each rank read and make batches ahead.
    """

    strategy: Literal["single", "ddp", "zero1", "zero2", "zero3", "zero3_offload", "fsdp2"] = (
        "single"
    )
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    micro_batches: PositiveInt = 1
    row_tokens: NonNegativeInt = 1024
    workers: NonNegativeInt = 1
    budget: Budget = field(default_factory=Budget)
    processes: PositiveInt | None = None
    persistence_threshold: NonNegativeInt = 100_000
    zero: ZeroSettings = field(default_factory=ZeroSettings)
    async_save: bool | None = None
    timeout_s: PositiveInt = 1800

    def accelerator(self, *, max_norms: Sequence[float] = ()) -> Any:
        """accelerate's view of the processes, made once a run.

        `max_norms` are the stages' clipping values. Raises ConfigError when what the launcher was
        told differs from this.
        """
        self._check()
        told_elsewhere.check(self, stage=STAGES.get(self.strategy), max_norms=max_norms)
        import torch
        from accelerate import Accelerator, InitProcessGroupKwargs

        on_cpu = not torch.cuda.is_available() or told_elsewhere.cpu_asked()
        wait = timedelta(seconds=self.timeout_s)
        group = InitProcessGroupKwargs(backend="gloo" if on_cpu else None, timeout=wait)
        handlers: list[Any] = [] if self.strategy == "single" else [group]
        if self.strategy in STAGES:
            made = plugin(
                STAGES[self.strategy],
                self.zero,
                offload=self.strategy == "zero3_offload",
                persistence_threshold=self.persistence_threshold,
            )
            os.environ.pop("ACCELERATE_USE_CPU", None)  # with it accelerate would leave ZeRO out
            engine = Accelerator(
                deepspeed_plugin=made, mixed_precision="no", kwargs_handlers=handlers
            )
            whole_models()
        else:
            engine = Accelerator(cpu=on_cpu, mixed_precision="no", kwargs_handlers=handlers)
        told_elsewhere.check_started(engine.num_processes)
        return engine

    def engine(self, accelerator: Any) -> Engine:
        """A new engine for one stage."""
        kind: type[Engine] = Engine
        if self.strategy in STAGES:
            kind = Zero
        elif self.strategy == "fsdp2":
            from affect_mllm.train.layout.fsdp import FullyShard as kind
        wait = timedelta(seconds=self.timeout_s)
        return kind(accelerator, strategy=self.strategy, precision=self.precision, timeout=wait)

    def _check(self) -> None:
        if self.strategy not in STAGES:
            return
        if importlib.util.find_spec("deepspeed") is None:
            raise ConfigError(
                "launch.strategy",
                f"{self.strategy}, but deepspeed is not installed",
                fix="pip install 'affect-mllm[deepspeed]', or launch=fsdp2",
            )
        if self.precision == "fp16":
            raise ConfigError(
                "launch.precision",
                f"fp16 with strategy={self.strategy}",
                expected="bf16 or fp32",
                fix="on a device without bf16 use launch=ddp or launch=fsdp2",
            )
