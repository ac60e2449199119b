"""Tiny random encoders as ordinary weight folders, made the first time that they are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

IMAGE = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
SPEECH = {
    "vocab_size": 12,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 5),
    "conv_stride": (80, 4),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    # What a frozen encoder must not do, or features were random.
    "mask_time_prob": 0.5,
    "mask_time_length": 2,
    "layerdrop": 0.5,
}
TEXT = {
    "hidden_size": 24,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 20,
    "max_position_embeddings": 8,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


def clip() -> Any:
    from transformers import CLIPConfig, CLIPModel

    return CLIPModel(CLIPConfig(vision_config=IMAGE, text_config=TEXT, projection_dim=20))


def clip_24() -> Any:
    from transformers import CLIPConfig, CLIPModel

    return CLIPModel(CLIPConfig(vision_config=IMAGE, text_config=TEXT, projection_dim=24))


def siglip() -> Any:
    from transformers import SiglipConfig, SiglipModel

    return SiglipModel(SiglipConfig(vision_config=IMAGE, text_config=TEXT))


def dinov2() -> Any:
    from transformers import Dinov2Config, Dinov2Model

    return Dinov2Model(Dinov2Config(**IMAGE))


def dinov2_registers() -> Any:
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    return Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**IMAGE, num_register_tokens=4))


def videomae() -> Any:
    from transformers import VideoMAEConfig, VideoMAEModel

    return VideoMAEModel(VideoMAEConfig(**IMAGE, num_frames=4, tubelet_size=2))


def hubert() -> Any:
    from transformers import HubertConfig, HubertModel

    shape = {**SPEECH, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
    return HubertModel(HubertConfig(**shape))


def hubert_base() -> Any:
    from transformers import HubertConfig, HubertModel

    return HubertModel(HubertConfig(**SPEECH, feat_extract_norm="group"))


def wavlm() -> Any:
    from transformers import WavLMConfig, WavLMModel

    shape = {**SPEECH, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
    return WavLMModel(WavLMConfig(**shape))


def wav2vec2() -> Any:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    return Wav2Vec2Model(Wav2Vec2Config(**SPEECH, feat_extract_norm="group"))


def data2vec() -> Any:
    from transformers import Data2VecAudioConfig, Data2VecAudioModel

    shape = {**SPEECH, "num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5}
    return Data2VecAudioModel(Data2VecAudioConfig(**shape))


HF: dict[str, Callable[[], Any]] = {
    each.__name__: each
    for each in (
        clip,
        clip_24,
        siglip,
        dinov2,
        dinov2_registers,
        videomae,
        hubert,
        hubert_base,
        wavlm,
        wav2vec2,
        data2vec,
    )
}
TIMM: dict[str, tuple[str, dict[str, Any]]] = {
    "eva": ("eva02_tiny_patch14_224", {"img_size": 28, "depth": 2, "embed_dim": 48}),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 32, "window_size": 4, "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2]},
    ),
    "vit": ("test_vit", {"img_size": 32}),
    "efficientnet": ("test_efficientnet", {}),
}


def folder(root: Path, name: str) -> Path:
    """The weights called `name` below `root`."""
    path = root / f"encoder_{name}"
    if not path.is_dir():
        torch.manual_seed(len(name))
        if name in HF:
            HF[name]().save_pretrained(path)
        else:
            _timm(path, *TIMM[name])
    return path


def _timm(path: Path, architecture: str, options: dict[str, Any]) -> None:
    import timm
    from safetensors.torch import save_file

    net = timm.create_model(architecture, num_classes=3, **options)
    path.mkdir()
    weights = {key: tensor.contiguous() for key, tensor in net.state_dict().items()}
    save_file(weights, path / "model.safetensors")
    spec = {"architecture": architecture, "num_classes": 3, "model_args": options}
    (path / "config.json").write_text(json.dumps(spec))
