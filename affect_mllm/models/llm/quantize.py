"""Quantised base weights by bitsandbytes, for QLoRA."""

from __future__ import annotations

import importlib.util
import os
from typing import Any, Literal

import torch

from affect_mllm.types import ConfigError

Quantize = Literal["none", "nf4", "int8"]


def quantized(how: Quantize) -> dict[str, Any]:
    """What `from_pretrained` needs for a quantised base: on the GPU of this process, if any.

    Raises ConfigError where bitsandbytes is not there.
    """
    if how == "none":
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            "llm.quantize",
            f"{how}, but bitsandbytes is not installed",
            fix="pip install 'affect-mllm[qlora]', or quantize: none",
        )
    from transformers import BitsAndBytesConfig

    four = BitsAndBytesConfig(  # Dettmers et al. 2023, QLoRA, §3
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    config = four if how == "nf4" else BitsAndBytesConfig(load_in_8bit=True)
    place = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
    return {"quantization_config": config, "device_map": {"": place}}


def keep_unpacked(net: torch.nn.Module) -> None:
    """Leave four-bit weights in the form that both passes read.

    Where a CPU has AVX512-BF16, bitsandbytes (0.50.2) lays them out anew, in place, as soon as a
    model generates, and its backward pass goes on reading the old form: steps after a benchmark
    had wrong gradients, without a word.
    """
    for module in net.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
