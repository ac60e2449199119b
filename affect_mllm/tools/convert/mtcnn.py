"""MTCNN: the three cascade networks of facenet-pytorch → one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path

NETWORKS = ("pnet", "rnet", "onet")
# Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
# Networks": input sizes of the cascade; the pixel scaling is the one these weights expect.
CONFIG = {
    "architecture": "mtcnn",
    "input_size": {"pnet": 12, "rnet": 24, "onet": 48},
    "mean": 127.5,
    "scale": 1 / 128,
    "channel_order": "RGB",
}


def convert(package_dir: Path, out: Path) -> None:
    """Write keys `pnet.* rnet.* onet.*` with the names of the original state dicts."""
    import torch
    from safetensors.torch import save_file

    weights = {}
    for network in NETWORKS:
        path = package_dir / "facenet_pytorch" / "data" / f"{network}.pt"
        state = torch.load(path, map_location="cpu", weights_only=True)
        weights.update({f"{network}.{key}": value.contiguous() for key, value in state.items()})
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
