"""LoRA as peft's layers, with a forward pass that stays in the precision of the arithmetic."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear as PeftLinear
from torch import nn

from affect_mllm.models.precision import autocast_dtype


class LeanLinear(PeftLinear):
    """peft's LoRA layer without what peft spends on an ordinary adapter under autocast.

    peft casts the layer's input to float32 for the adapter (autocast casts it back) and scales
    the wide product; here the input stays as it is and the narrow one is scaled: 2 instead of 6
    passes over wide tensors, the same function. Anything else than one plain adapter is peft's.
    """

    def forward(self, x: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        """`[…, in]` → `[…, out]`: the base layer plus B(A(x) · scaling)."""
        plain = not (args or options or self.disable_adapters or self.merged or self.lora_variant)
        if not plain or len(self.active_adapters) != 1:
            return super().forward(x, *args, **options)
        (name,) = self.active_adapters
        base = self.base_layer(x)
        down, up = self.lora_A[name], self.lora_B[name]
        if autocast_dtype(x.device) is None:
            x = self._cast_input_dtype(x, down.weight.dtype)  # type: ignore[arg-type]
        narrow = down(self.lora_dropout[name](x)) * self.scaling[name]
        return base + up(narrow).to(base.dtype)


def lean(lora: Any) -> Any:
    """The LoraConfig with `LeanLinear` for plain linear layers; returns it."""
    lora._register_custom_module({nn.Linear: LeanLinear})
    return lora
