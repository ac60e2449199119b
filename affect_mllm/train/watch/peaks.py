"""How fast a device can multiply matrices: published dense peaks, or a measurement."""

from __future__ import annotations

import re
import time
from typing import NamedTuple

import torch

# Dense (not sparse) tensor-core peaks with float32 accumulation, TFLOP/s, by a regex over
# `torch.cuda.get_device_name()`; the first match counts. From NVIDIA's data sheets and white
# papers, where the figure "with sparsity" is twice the dense one: A100 (2021), A10, A30, A40 and
# RTX A6000 (2021), H100 and H200 Tensor Core GPU, H100 PCIe / NVL, H20, L4 and L40S, Ada
# white paper v2.1 appendix A (RTX 4090, 4080, RTX 6000 Ada), GA102 white paper (RTX 3090),
# Blackwell architecture brief (B200), V100 (2017) and T4 (2018). A10G: AWS's G5 page.
# They are the vendors' figures; none was compared with a measurement on the device.
BF16_TFLOPS = (
    (r"B200", 2250.0),
    (r"H200 NVL", 835.5),
    (r"H200|GH200", 989.4),
    (r"H100 NVL", 835.5),
    (r"H100 PCIe", 756.0),
    (r"H[18]00", 989.4),  # H100 SXM ("NVIDIA H100 80GB HBM3") and H800
    (r"H20\b", 148.0),
    (r"A[18]00\b", 312.0),
    (r"L40S", 362.1),
    (r"L40\b", 181.1),
    (r"L4\b", 121.0),
    (r"RTX 6000 Ada", 364.2),
    (r"RTX A6000", 154.8),
    (r"A40\b", 149.7),
    (r"A30\b", 165.0),
    (r"A10G", 70.0),
    (r"A10\b", 125.0),
    (r"RTX 4090(?! D)", 165.2),
    (r"RTX 4080(?! SUPER)", 97.5),
    (r"RTX 3090(?! Ti)", 71.0),
)
# These have no bf16 tensor cores; their peak is for fp16.
FP16_TFLOPS = ((r"V100-SXM", 125.0), (r"V100-PCIE", 112.0), (r"\bT4\b", 65.1))


class Peak(NamedTuple):
    """FLOP/s of a device, and whether they were `published` or `measured`."""

    flops_per_s: float
    source: str


def published(name: str, dtype: torch.dtype) -> Peak | None:
    """The data sheet's peak of a CUDA device by its name, or None: never a guess."""
    table = BF16_TFLOPS if dtype in (torch.bfloat16, torch.float16) else ()
    if dtype == torch.float16:
        table = (*table, *FP16_TFLOPS)
    for regex, tflops in table:
        if re.search(regex, name):
            return Peak(tflops * 1e12, "published")
    return None


def peak(device: torch.device, dtype: torch.dtype) -> Peak:
    """The published peak where the device is known, else what a matrix product reaches here."""
    if device.type == "cuda":
        found = published(torch.cuda.get_device_name(device), dtype)
        if found is not None:
            return found
    return measured(device, dtype)


def measured(device: torch.device, dtype: torch.dtype, *, size: int = 1024) -> Peak:
    """The best of some square matrix products; about 0.1 s on a CPU core."""
    cuda = device.type == "cuda"
    size = size * (8 if cuda else 1)
    left = torch.ones(size, size, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        torch.matmul(left, left)
        if cuda:
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return Peak(2 * size**3 / best, "measured")
