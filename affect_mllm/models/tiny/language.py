"""LLMs and VLMs of random weights, with a tokenizer that was trained on a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from affect_mllm.models.tiny import omni
from affect_mllm.models.tiny.sizes import (
    LANGUAGE,
    SENTENCEPIECE,
    TIED,
    VLM_PICTURES,
    VLM_TEXT,
    VLM_TOWER,
)
from affect_mllm.models.tiny.weights import architecture, tiny_config
from affect_mllm.types import ConfigError

CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = (
    "You recognise emotions. Which emotion does the person express? Answer with one of: happy, "
    "sad, angry, surprise, fear, disgust, neutral. Describe the facial expression, tone of voice "
    "and what is being said. Face: Voice: Fused: Video: Image: Subtitle: system user assistant"
)
VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


SPECIAL = ["<|pad|>", "<|im_start|>", "<|im_end|>"]


def tiny_tokenizer(*, sentencepiece: bool = False) -> Any:
    """A tokenizer of 500 pieces with the template ChatML; byte-level unless `sentencepiece`."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=_sentencepiece() if sentencepiece else _byte_level(),
        pad_token="<|pad|>",
        eos_token="<|im_end|>",
        chat_template=CHAT,
    )


def _byte_level() -> Any:
    """As of Qwen, Llama 3 and SmolLM."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=SPECIAL,
        show_progress=False,
    )
    bpe.train_from_iterator([WORDS], trainer)
    return bpe


def _sentencepiece() -> Any:
    """As of Llama 2 and Mistral: a space is `▁`, one is put before the text, bytes for the rest."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    pieces = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    pieces.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    pieces.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    every_byte = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<unk>", *SPECIAL, *every_byte], show_progress=False
    )
    pieces.train_from_iterator(WORDS.split(), trainer)
    return pieces


def tiny_llm(model: str, folder: Path, **changes: Any) -> dict[str, Any]:
    """Write a causal LM like `model` and its tokenizer; the settings of an LLM that fit it.

    Its embedding is its output layer, and its tokenizer SentencePiece's, where the published
    model's are (`TIED`, `SENTENCEPIECE`). `changes` are fields of its configuration.
    """
    from transformers import AutoModelForCausalLM

    tokenizer = tiny_tokenizer(sentencepiece=_any(SENTENCEPIECE, model))
    tied = {"tie_word_embeddings": True} if _any(TIED, model) else {}
    sizes = LANGUAGE | _ids(tokenizer) | {"vocab_size": len(tokenizer)} | tied
    net = AutoModelForCausalLM.from_config(tiny_config(model, **(sizes | changes)))
    omni.spread(net, 12)
    net.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {"model": str(folder)}


def tiny_vlm(model: str, folder: Path, **changes: Any) -> dict[str, Any]:
    """Write a VLM like `model` and its processor; the settings of a native VLM that fit it."""
    from transformers import AutoModelForImageTextToText
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = architecture(model)
    pixels = {"image_pixels": [784, 6272], "video_pixels": [784, 6272]}
    if kind in omni.TOKENS:
        omni.write(kind, tiny_tokenizer(), folder)
        return {"model": str(folder), **pixels}
    if kind not in VLM_TOWER:
        known = sorted({*VLM_TOWER, *omni.TOKENS})
        raise ConfigError("model", f"{model}, a {kind}", expected=f"one of {known}")
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(VISION_TOKENS)})
    text = {
        **{name: value for name, value in LANGUAGE.items() if name != "head_dim"},
        "vocab_size": len(tokenizer),
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [2, 3, 3],
        },
        **VLM_TEXT.get(kind, {}),
        **_ids(tokenizer),
    }
    names = ("vision_start", "vision_end", "image", "video")
    ids = tokenizer.convert_tokens_to_ids(list(VISION_TOKENS))
    known: Any = CONFIG_MAPPING[kind]
    config = known(
        text_config=text,
        vision_config=VLM_TOWER[kind],
        **{f"{name}_token_id": id for name, id in zip(names, ids, strict=True)},
        **{"tie_word_embeddings": False, **changes},
    )
    net = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    omni.spread(net, 6)
    net.save_pretrained(folder)
    _processor(tokenizer, kind).save_pretrained(folder)
    return {"model": str(folder), **pixels}


def _any(parts: tuple[str, ...], model: str) -> bool:
    return any(part in model.lower() for part in parts)


def _ids(tokenizer: Any) -> dict[str, int]:
    ends = tokenizer.eos_token_id
    return {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": ends, "eos_token_id": ends}


def _processor(tokenizer: Any, kind: str) -> Any:
    import transformers

    pictures = VLM_PICTURES.get(kind, {})
    third = kind.startswith("qwen3")
    name = "Qwen3VL" if third else {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL"}[kind]
    videos = "Qwen3VL" if third else "Qwen2VL"
    return getattr(transformers, f"{name}Processor")(
        transformers.Qwen2VLImageProcessor(**pictures),
        tokenizer,
        getattr(transformers, f"{videos}VideoProcessor")(**pictures),
        chat_template=tokenizer.chat_template,
    )
