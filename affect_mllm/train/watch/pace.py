"""How fast and how full a step is: tokens/s, samples/s, share of the peak, waiting, memory."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from affect_mllm.train.watch.peaks import Peak, peak
from affect_mllm.types import Batch


class Pace:
    """Counts one step's FLOPs and says from then on what each step reached.

    FLOPs are counted as they are executed (by torch's formulas) in the first step that this
    process takes, and scaled by the real tokens of later ones. Computing activations again
    (gradient checkpointing) counts too: with it `mfu` is the device's use, not the model's.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype | None) -> None:
        self.device = device
        self.peak: Peak = peak(device, dtype or torch.float32)
        self.per_token: float | None = None
        self._counted = 0.0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Around forward and backward of a step; counts the first one's FLOPs."""
        if self.per_token is not None:
            yield
            return
        with _Counter() as counter:
            yield
        self._counted = float(counter.flops)

    def numbers(
        self, micro_batches: tuple[Batch, ...], whole: Mapping[str, Any], busy: float, waited: float
    ) -> dict[str, Any]:
        """A row's numbers. `whole` has the step's `supervised_tokens` and `examples` of all ranks.

        `tokens` and `flops` are this rank's; `data_wait` is a share of the step, `memory_gb` the
        most that the device (on a CPU: this process) has held.
        """
        tokens = real_tokens(micro_batches)
        if self.per_token is None:
            self.per_token = self._counted / max(1, tokens)
        spent = busy + waited
        flops = self.per_token * tokens
        return {
            "supervised_tokens_per_s": whole["supervised_tokens"] / spent,
            "samples_per_s": whole["examples"] / spent,
            "tokens": tokens,
            "flops": flops,
            "mfu": flops / spent / self.peak.flops_per_s,
            "mfu_peak": self.peak.source,
            "data_wait": waited / spent,
            "memory_gb": memory_gb(self.device),
        }


class _Counter(TorchDispatchMode):
    """Adds up FLOPs by torch's own formulas. FlopCounterMode would also take composite operations
    apart, which rounds otherwise: a resumed run's first step has to equal the uninterrupted one's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=output)
        return output


def real_tokens(micro_batches: tuple[Batch, ...]) -> int:
    """Positions that belong to an example, padding left out."""
    return sum(int((batch.segments >= 0).sum()) for batch in micro_batches)


def memory_gb(device: torch.device) -> float:
    """Peak memory so far in GiB: allocated on a CUDA device, resident of this process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
