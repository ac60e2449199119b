"""Tiny random VLMs of transformers, as ordinary folders, and pictures and videos for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from affect_mllm import config
from affect_mllm.data.example import Example
from affect_mllm.data.settings import DataSettings
from affect_mllm.models.native_vlm import NativeVLM
from affect_mllm.types import Sample
from tests.tiny import QUESTION, Tiny

TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def build(tiny: Tiny, root: Path, kind: str = "qwen2_5_vl", *, tied: bool = False) -> Path:
    """The folder of a VLM whose attention windows are smaller than its pictures.

    `tied`: its head is the embeddings themselves, as of those with few billion weights.
    """
    from transformers import AutoModelForImageTextToText
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    folder = root / f"{kind}{'_tied' if tied else ''}"
    if folder.exists():
        return folder
    tokenizer = _tokenizer(tiny.root / "llm")
    ids = dict(zip(TOKENS, tokenizer.convert_tokens_to_ids(list(TOKENS)), strict=True))
    shape = CONFIG_MAPPING[kind](
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 3, 3],
            },
            **TEXT.get(kind, {}),
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.eos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config=VISION[kind],
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=tied,
    )
    torch.manual_seed(0)
    net = AutoModelForImageTextToText.from_config(shape, dtype=torch.float32)
    with torch.no_grad():  # transformers' 0.02 would make every answer the same token
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
    net.save_pretrained(folder)
    _processor(tokenizer, kind).save_pretrained(folder)
    return folder


VISION: dict[str, dict[str, Any]] = {
    "qwen2_5_vl": {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_heads": 2,
        "out_hidden_size": 32,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    },
    "qwen2_vl": {"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2},
    "qwen3_vl": {
        "depth": 3,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_heads": 2,
        "out_hidden_size": 32,
        "patch_size": 14,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0, 2],
    },
}
PIXELS: dict[str, dict[str, Any]] = {
    "qwen3_vl": {"patch_size": 14, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
}
TEXT: dict[str, dict[str, Any]] = {"qwen3_vl": {"head_dim": 16, "num_hidden_layers": 3}}


def overrides(folder: Path) -> list[str]:
    """`model.…` settings that make any native VLM of an experiment this tiny one."""
    return [
        f"model.model={folder}",
        "model.dtype=float32",
        "model.image_pixels=[784,14112]",
        "model.video_pixels=[784,7056]",
    ]


def model(folder: Path, **options: Any) -> NativeVLM:
    """The native VLM of `folder`, in eval mode, with LoRA r = 2."""
    node = {
        "_target_": "affect_mllm.models.native_vlm.NativeVLM",
        "model": str(folder),
        "dtype": "float32",
        "image_pixels": [784, 14112],
        "video_pixels": [784, 7056],
        "compressor": {
            "_target_": "affect_mllm.models.compressor.hybrid.HybridCompressor",
            "_partial_": True,
        },
        "lora": {
            "_target_": "peft.tuners.lora.config.LoraConfig",
            "r": 2,
            "lora_alpha": 2,
            "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
        },
        **options,
    }
    torch.manual_seed(0)
    return config.build(node).eval()


def pictures(seed: int, frames: int, height: int, width: int) -> np.ndarray:
    """uint8 [T, H, W, 3] with structure at every scale."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (frames, 5, 7, 3)).astype(np.float64)
    fine = rng.integers(-40, 40, (frames, height, width, 3))
    rows = np.linspace(0, 4, height).astype(int)
    columns = np.linspace(0, 6, width).astype(int)
    return np.clip(coarse[:, rows][:, :, columns] + fine, 0, 255).astype(np.uint8)


MEDIA = {
    "wide": ("image", pictures(1, 1, 70, 130)),
    "high": ("image", pictures(2, 1, 120, 60)),
    "video": ("frame", pictures(3, 5, 64, 90)),
}
TIMES_S = np.arange(5) * 0.75


def examples(
    tiny: Tiny, model: NativeVLM, names: tuple[str, ...], answer: str | None = "happy"
) -> list[Example]:
    """One example a name of `MEDIA`; `words` has none."""
    data: DataSettings = tiny.data
    maker = data.maker(model.llm.tokenizer, model.span_lengths())
    made = []
    for number, name in enumerate(names):
        media = {}
        if name != "words":
            modality, images = MEDIA[name]
            patches = model.transforms()[modality](images)
            media = {modality: patches.timed(TIMES_S[: len(images)])}
        made.append(
            maker.make(
                Sample(f"e{number}", tiny.root, subtitle=f"sentence {'really ' * number}"),
                media,
                question=QUESTION,
                answer=answer,
                encoded=False,
            )
        )
    return made


def _tokenizer(llm: Path) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(llm)
    tokenizer.add_special_tokens({"additional_special_tokens": list(TOKENS)})
    return tokenizer


def _processor(tokenizer: Any, kind: str) -> Any:
    import transformers

    pictures = transformers.Qwen2VLImageProcessor(**PIXELS.get(kind, {}))
    form, videos = {
        "qwen2_5_vl": (transformers.Qwen2_5_VLProcessor, transformers.Qwen2VLVideoProcessor),
        "qwen2_vl": (transformers.Qwen2VLProcessor, transformers.Qwen2VLVideoProcessor),
        "qwen3_vl": (transformers.Qwen3VLProcessor, transformers.Qwen3VLVideoProcessor),
    }[kind]
    return form(
        pictures, tokenizer, videos(**PIXELS.get(kind, {})), chat_template=tokenizer.chat_template
    )
