"""The share of a GPU's peak that a LoRA step in bf16 reaches (MFU), as `gpu-check` has it.

    python benchmarks/mfu.py

Exit code 2 without a CUDA device.
"""

from __future__ import annotations

import sys

from machine import has_cuda
from measured import Row, report


def main() -> int:
    """Print the shares; 0 where they were measured."""
    if not has_cuda():
        print("no CUDA device: there is no peak to take a share of", file=sys.stderr)
        return 2
    from affect_mllm.tools.gpu_checks import shares_of_peak

    shares, peak = shares_of_peak()
    row = Row.of(
        "FLOPs of a LoRA step in bf16", f"the device's {peak.source} peak", shares, "higher"
    )
    spread, rate = f"{row.low:.1%} to {row.high:.1%}", peak.flops_per_s / 1e12
    print(f"MFU {row.ratio:.1%} ({spread}) of {rate:.0f} TFLOP/s")
    report([row])
    return 0


if __name__ == "__main__":
    sys.exit(main())
