"""uint8 pictures to the numbers that a vision network was trained on, on its device."""

from __future__ import annotations

import numpy as np
import torch

from affect_mllm.media.image import Normal
from affect_mllm.models.indices import on_device


def normalised(pictures: torch.Tensor, normal: Normal) -> torch.Tensor:
    """`(pictures / 255 − mean) / std` in float32, bit for bit as NumPy computes it.

    `pictures` is uint8 `[…, 3, H, W]`. Divisors are tensors of the device: by a number of Python
    CUDA multiplies with its reciprocal instead, which may round otherwise.
    """
    numbers = np.stack([np.full(3, 255, np.float32), normal.mean, normal.std])
    whole, mean, std = on_device(torch.from_numpy(numbers).view(3, 3, 1, 1), pictures.device)
    return pictures.to(torch.float32).div_(whole).sub_(mean).div_(std)
