"""The models that a trial trains: their weights on disk, themselves, and media for them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from affect_mllm.models.compressor.hybrid import HybridCompressor
from affect_mllm.models.compressor.poolers import AttentionPooler
from affect_mllm.models.compressor.projector import Projector
from affect_mllm.models.encoders.base import Encoder
from affect_mllm.models.encoders.features import FeatureEncoder
from affect_mllm.models.llm.attention import Attention
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.llm.quantize import Quantize
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.types import MediaBatch

TOKENS, STATES, WIDTH = 4, 16, 64  # tokens and states of an item, a state's width
GRID, PATCH = (
    (1, 4, 4),
    1176,
)  # of a VLM's picture: patches of 14² pixels, two frames, three colours
FRAMES, PIXELS = 2, 32  # of a clip that a tower reads
# Of a sound, log-mel frames of which the omni models' towers make as many tokens.
MEL, HEARD = 128, {"qwen2_5_omni": 16, "qwen3_omni_moe": 32}
VLM_WORDS = 400  # token ids that every tiny tokenizer has
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

ATTENTION = TARGETS[:4]  # of an omni model: others are experts in one of them

Reads = Literal["states", "frames", "qwen2_5_vl", "qwen3_vl", "qwen2_5_omni", "qwen3_omni_moe"]


class Size(NamedTuple):
    """Of the LLM (a Llama with heads of 64) and of a micro-batch, `rows` × `length`."""

    hidden: int = 512
    layers: int = 4
    vocab: int = 8192
    rows: int = 2
    length: int = 1024


class Parts(NamedTuple):
    """What a trial's model is made of.

    `reads`: encoder states, frames (by a tower of transformers), or the pictures of a native VLM,
    and sounds where it hears.
    `dtype` is that of the LLM's base, which `quantize` keeps in few bits.
    """

    reads: Reads = "states"
    dtype: Literal["float32", "bfloat16"] = "float32"
    quantize: Quantize = "none"
    lora: bool = True

    @property
    def is_vlm(self) -> bool:
        """Whether it is a native VLM, whose sizes are its own."""
        return self.reads.startswith("qwen")

    @property
    def hears(self) -> bool:
        """Whether it is an omni model."""
        return self.reads in HEARD

    @property
    def medium(self) -> str:
        """The modality that it reads; an omni model sounds besides."""
        return "image" if self.is_vlm else "face"


PLAIN = Parts()


def write(folder: Path, size: Size, parts: Parts) -> None:
    """The pretrained weights below `folder`, unless they lie there."""
    if parts.is_vlm:
        _write_vlm(folder / parts.reads, parts.reads)
        return
    if not (folder / "config.json").exists():
        _write_llm(folder, size, parts.dtype)
    if parts.reads == "frames":
        _write_tower(folder / "tower")


def build(folder: Path, parts: Parts, attention: Attention) -> AffectMLLM:
    """A new model of what `write` wrote; what is not pretrained is drawn from one seed."""
    from peft import LoraConfig

    torch.manual_seed(1)
    targets = ATTENTION if parts.hears else TARGETS
    lora = LoraConfig(r=8, target_modules=targets) if parts.lora else None
    dtype: Any = parts.dtype
    if parts.is_vlm:
        from affect_mllm.models.vlm.native_vlm import NativeVLM

        path = str(folder / parts.reads)
        model = NativeVLM(
            path, compressor=HybridCompressor, lora=lora, dtype=dtype, attention=attention
        )
    else:
        llm = LanguageModel(
            str(folder), lora=lora, dtype=dtype, attention=attention, quantize=parts.quantize
        )
        pooler = partial(AttentionPooler, num_tokens=TOKENS)
        model = AffectMLLM(
            encoders={parts.medium: _encoder(folder, parts.reads)},
            branches={parts.medium: parts.medium},
            compressors={parts.medium: partial(Projector, pooler=pooler)},
            llm=llm,
        )
    with torch.no_grad():  # else half of LoRA had no gradient in the first step
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    return model


def begins(folder: Path, parts: Parts) -> tuple[list[int], dict[str, int]]:
    """The ids that each example begins with, and how far behind that a modality's tokens stand.

    An omni model counts positions by the ids around its media; to the others these are any words.
    """
    if not parts.hears:
        return [], {parts.medium: 0}
    from affect_mllm.models.vlm.vlm_family import family_of

    config = family_of(str(folder / parts.reads))[1]
    seen, heard = [config.image_token_id] * TOKENS, [config.audio_token_id] * TOKENS
    picture = [config.vision_start_token_id, *seen, config.vision_end_token_id]
    sound = [config.audio_start_token_id, *heard, config.audio_end_token_id]
    return [*picture, *sound], {parts.medium: 1, "audio": len(picture) + 1}


def media(parts: Parts, items: int, chance: torch.Generator) -> dict[str, MediaBatch]:
    """Random media of `items` examples, one of each modality."""
    found = {parts.medium: _medium(parts, items, chance)}
    if parts.hears:
        frames = torch.randn(items, HEARD[parts.reads], MEL, generator=chance)
        real = torch.ones(frames.shape[:2], dtype=torch.bool)
        found["audio"] = MediaBatch(frames, real, tuple(range(items)), encoded=False)
    return found


def _medium(parts: Parts, items: int, chance: torch.Generator) -> MediaBatch:
    owners = tuple(range(items))
    if parts.is_vlm:
        count = GRID[0] * GRID[1] * GRID[2]
        values = _pixels((items, count, PATCH), chance)
        mask = torch.ones(items, count, dtype=torch.bool)
        grids, steps_s = (GRID,) * items, (0.0,) * items
        return MediaBatch(values, mask, owners, encoded=False, grids=grids, steps_s=steps_s)
    if parts.reads == "frames":
        values = _pixels((items, FRAMES, 3, PIXELS, PIXELS), chance)
        return MediaBatch(values, torch.ones(items, FRAMES, dtype=torch.bool), owners, False)
    states = torch.randn(items, STATES, WIDTH, generator=chance)
    return MediaBatch(states, torch.ones(items, STATES, dtype=torch.bool), owners, encoded=True)


def _pixels(shape: tuple[int, ...], chance: torch.Generator) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=chance)


def _encoder(folder: Path, reads: Reads) -> Encoder:
    if reads == "states":
        return FeatureEncoder(WIDTH)
    from affect_mllm.media.image import ImageTransform
    from affect_mllm.models.encoders.hf_vision import HFVisionEncoder

    transform = ImageTransform(PIXELS)
    return HFVisionEncoder(str(folder / "tower"), transform=transform, grid=4, frozen=False)


def _write_tower(folder: Path) -> None:
    from affect_mllm.models.tiny.weights import tiny_encoder

    torch.manual_seed(0)
    tiny_encoder("google/siglip-so400m", folder)


def _write_vlm(folder: Path, kind: str) -> None:
    from affect_mllm.models.tiny.language import tiny_vlm

    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        tiny_vlm(kind, folder)


def _write_llm(folder: Path, size: Size, dtype: str) -> None:
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=size.vocab,
        hidden_size=size.hidden,
        intermediate_size=3 * size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.hidden // 64,
        num_key_value_heads=size.hidden // 64,
    )
    shape.save_pretrained(folder)
    # transformers' own saving would leave it to rank 0, and every rank has a folder.
    weights = LlamaForCausalLM(shape).to(getattr(torch, dtype)).state_dict()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
