"""Tiny random encoders as ordinary weight folders, made the first time that they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from affect_mllm.models.tiny.weights import seeded, tiny_encoder, tiny_timm

# A name for tests → a model of that architecture, and what else it is to be.
HF: dict[str, tuple[str, dict[str, Any]]] = {
    "clip": ("clip", {}),
    "clip_24": ("clip", {"projection_dim": 24}),
    "siglip": ("siglip", {}),
    "dinov2": ("dinov2", {}),
    "dinov2_registers": ("dinov2-with-registers", {"num_register_tokens": 4}),
    "videomae": ("videomae", {}),
    "whisper": ("whisper", {}),
    "hubert": ("hubert-large", {"hidden_size": 32, "intermediate_size": 48}),
    "hubert_base": ("hubert", {}),
    "wavlm": ("wavlm-large", {}),
    "wav2vec2": ("wav2vec2", {}),
    "data2vec": ("data2vec-audio", {}),
}


def folder(root: Path, name: str) -> Path:
    """The weights called `name` below `root`."""
    path = root / f"encoder_{name}"
    if not path.is_dir():
        seeded(name)
        if name in HF:
            model, changes = HF[name]
            tiny_encoder(model, path, **changes)
        else:
            tiny_timm(name, path)
    return path
