"""What encoders say that they compute of an input, against what their first layer is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from affect_mllm.media.image import ImageTransform
from affect_mllm.media.mel import MelFrames
from affect_mllm.models.encoders.hf_vision import HFVisionEncoder
from affect_mllm.models.encoders.timm import TimmEncoder
from affect_mllm.models.encoders.videomae import VideoMAEEncoder
from affect_mllm.models.encoders.whisper import WhisperEncoder
from tests import tiny_encoders

FRAMES = np.zeros((5, 3, 32, 32), np.uint8)
MADE = {
    "clip": (HFVisionEncoder, ImageTransform(32), FRAMES),
    "siglip": (HFVisionEncoder, ImageTransform(32), FRAMES),
    "dinov2_registers": (HFVisionEncoder, ImageTransform(32), FRAMES),
    "videomae": (VideoMAEEncoder, ImageTransform(32), FRAMES),
    "whisper": (WhisperEncoder, MelFrames(80), np.zeros((101, 80), np.float32)),
    "eva": (TimmEncoder, ImageTransform(28), np.zeros((5, 3, 28, 28), np.uint8)),
}


@pytest.mark.parametrize("name", sorted(MADE))
def test_positions_are_those_of_the_first_layer(tmp_path, name: str) -> None:
    kind, transform, array = MADE[name]
    made: Any = kind(str(tiny_encoders.folder(tmp_path, name)), transform=transform)
    seen: list[int] = []

    def count(_module: nn.Module, given: tuple[Any, ...], _named: dict[str, Any]) -> None:
        seen.append(given[0].shape[:-1].numel())

    layers = [each for each in made.net.modules() if isinstance(each, nn.ModuleList)]
    blocks = getattr(made.net, "blocks", None)
    first = (layers[0] if blocks is None else blocks)[0]
    first.register_forward_pre_hook(count, with_kwargs=True)
    values = torch.from_numpy(array)[None]
    with torch.no_grad():
        made(values, torch.ones(1, len(array), dtype=torch.bool))
    assert made.positions()(array) == sum(seen)
