"""How a run is laid out on the machine: strategy, precision, micro-batches, loader workers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from affect_mllm.data.packing import Budget
from affect_mllm.types import ConfigError


@dataclass(frozen=True)
class Launch:
    """The one source of layout settings (`conf/launch`).

    `strategy=single` is one process, `ddp` one a device, started by torchrun or accelerate.
    `row_tokens` packs short examples into rows of about that many tokens; 0 pads instead.
    `micro_batches` is the least number a step; a `budget` may ask for more.
    """

    strategy: Literal["single", "ddp"] = "single"
    precision: Literal["no", "bf16"] = "bf16"
    micro_batches: PositiveInt = 1
    row_tokens: NonNegativeInt = 256
    workers: NonNegativeInt = 1
    budget: Budget = field(default_factory=Budget)

    def accelerator(self) -> Any:
        """The accelerate engine. Raises ConfigError when the launcher disagrees."""
        from accelerate import Accelerator, DistributedDataParallelKwargs

        asked = int(os.environ.get("WORLD_SIZE", "1"))
        if self.strategy == "single" and asked > 1:
            raise ConfigError(
                "launch.strategy",
                f"single, but {asked} processes were started",
                fix="use launch=ddp",
            )
        if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
            raise ConfigError(
                "launch",
                f"strategy={self.strategy}, but accelerate asks for DeepSpeed",
                fix="start without a DeepSpeed config",
            )
        # The trainer adds gradients up itself; in forward no rank may wait for another.
        ddp = DistributedDataParallelKwargs(broadcast_buffers=False)
        engine = Accelerator(mixed_precision=self.precision, kwargs_handlers=[ddp])
        if engine.num_processes != asked:
            raise ConfigError(
                "launch",
                f"{engine.num_processes} process(es) run, {asked} were asked",
                fix="on a CPU start with ACCELERATE_USE_CPU=true torchrun …",
            )
        return engine
