"""Tiny random VLMs of transformers, as ordinary folders, and pictures and videos for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from affect_mllm import config
from affect_mllm.data.example import Example, ExampleMaker
from affect_mllm.data.settings import DataSettings
from affect_mllm.models.tiny.language import tiny_vlm
from affect_mllm.models.vlm.native_vlm import NativeVLM
from affect_mllm.types import Sample
from tests.tiny import QUESTION, Tiny

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for part in m.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build(tiny: Tiny, root: Path, kind: str = "qwen2_5_vl", *, tied: bool = False) -> Path:
    """The folder of a VLM whose attention windows are smaller than its pictures.

    `tied`: its head is the embeddings themselves, as of those with few billion weights.
    """
    del tiny
    folder = root / f"{kind}{'_tied' if tied else ''}"
    if not folder.exists():
        torch.manual_seed(0)
        tiny_vlm(kind, folder, tie_word_embeddings=tied)
    return folder


def with_chat(tiny: Tiny, root: Path) -> Path:
    """A tiny Qwen2.5-VL whose processor has a chat template with pictures."""
    from transformers import AutoProcessor

    made = build(tiny, root)
    processor = AutoProcessor.from_pretrained(made)
    processor.chat_template = CHAT
    processor.save_pretrained(made)
    return made


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
        "_target_": "affect_mllm.models.vlm.native_vlm.NativeVLM",
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
        made.append(asked_about(tiny, maker, number, media, answer))
    return made


def asked_about(
    tiny: Tiny, maker: ExampleMaker, number: int, media: dict[str, Any], answer: str | None
) -> Example:
    """The example of a number, whose words are as long as it is high."""
    return maker.make(
        Sample(f"e{number}", tiny.root, subtitle=f"sentence {'really ' * number}"),
        media,
        question=QUESTION,
        answer=answer,
        encoded=False,
    )
