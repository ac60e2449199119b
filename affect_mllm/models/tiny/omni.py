"""Thinkers of Qwen's omni models with random weights of few parameters, and their processors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from affect_mllm.models.tiny.sizes import LANGUAGE, OMNI_EXPERTS, OMNI_SOUND, VLM_TOWER

# How published tokenizers call their tokens, by what processors call them.
TOKENS = {
    "qwen2_5_omni": {
        "image_token": "<|IMAGE|>",
        "audio_token": "<|AUDIO|>",
        "video_token": "<|VIDEO|>",
        "vision_bos_token": "<|vision_bos|>",
        "vision_eos_token": "<|vision_eos|>",
        "audio_bos_token": "<|audio_bos|>",
        "audio_eos_token": "<|audio_eos|>",
    },
    "qwen3_omni_moe": {
        "image_token": "<|image_pad|>",
        "audio_token": "<|audio_pad|>",
        "video_token": "<|video_pad|>",
        "vision_bos_token": "<|vision_start|>",
        "vision_eos_token": "<|vision_end|>",
        "audio_bos_token": "<|audio_start|>",
        "audio_eos_token": "<|audio_end|>",
    },
}
PICTURES = {"size": {"shortest_edge": 784, "longest_edge": 3136}}


def with_tokens(plain: Any, tokens: dict[str, str]) -> tuple[Any, dict[str, int]]:
    """The tokenizer `plain` with a processor's `tokens` in it, and their ids by the same names."""
    from transformers import PreTrainedTokenizerFast

    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=plain.backend_tokenizer,
        pad_token=plain.pad_token,
        eos_token=plain.eos_token,
        extra_special_tokens=tokens,
    )
    ids = {name: int(tokenizer.convert_tokens_to_ids(token)) for name, token in tokens.items()}
    return tokenizer, ids


def text_config(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """Fields of a tiny text model of Qwen's."""
    ends = tokenizer.eos_token_id
    return {
        **{name: value for name, value in LANGUAGE.items() if name != "head_dim"},
        "vocab_size": len(tokenizer),
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": ends,
        "eos_token_id": ends,
        **more,
    }


def thinker(kind: str, tokenizer: Any, ids: dict[str, int]) -> tuple[Any, Any]:
    """A thinker of the type `kind` and its processor."""
    import transformers

    hf: Any = transformers
    old = kind == "qwen2_5_omni"
    name, places = ("Qwen2_5Omni", "token_index") if old else ("Qwen3OmniMoe", "token_id")
    tower = VLM_TOWER["qwen2_5_vl" if old else "qwen3_vl"]
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    more = {} if old else OMNI_EXPERTS
    config = getattr(hf, f"{name}ThinkerConfig")(
        text_config=text_config(tokenizer, rope_parameters=rope, head_dim=16, **more),
        vision_config=tower,
        audio_config=OMNI_SOUND | ({} if old else {"downsample_hidden_size": 8}),
        **{f"{each}_{places}": ids[f"{each}_token"] for each in ("image", "audio", "video")},
        audio_start_token_id=ids["audio_bos_token"],
        audio_end_token_id=ids["audio_eos_token"],
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
        position_id_per_seconds=25 if old else 13,
        seconds_per_chunk=2,
        tie_word_embeddings=False,
    )
    net = getattr(hf, f"{name}ThinkerForConditionalGeneration")(config)
    pictures = {**PICTURES, "patch_size": tower.get("patch_size", 14)}
    processor = getattr(hf, f"{name}Processor")(
        hf.Qwen2VLImageProcessor(**pictures),
        hf.Qwen2VLVideoProcessor(**pictures),
        hf.WhisperFeatureExtractor(feature_size=128, chunk_length=300 if old else 30),
        tokenizer,
        chat_template=template(tokenizer, pictures=True),
    )
    return net, processor


def template(tokenizer: Any, *, pictures: bool) -> str:
    """The chat as Qwen's own templates write it; Qwen2-Audio's numbers the sounds."""
    sound = f"{tokenizer.audio_bos_token}{tokenizer.audio_token}{tokenizer.audio_eos_token}"
    seen = ""
    if pictures:
        shown = f"{tokenizer.vision_bos_token}{tokenizer.image_token}{tokenizer.vision_eos_token}"
        seen = f"{{% elif part.type == 'image' %}}{shown}"
    else:
        sound = f"{{% set n.n = n.n + 1 %}}Audio {{{{ n.n }}}}: {sound}\n"
    return (
        "{% set n = namespace(n=0) %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
        f"{{% if part.type == 'audio' %}}{sound}{seen}"
        "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def write(kind: str, plain: Any, folder: Path) -> Any:
    """A thinker with its processor in `folder`, of a tokenizer `plain`; the model."""
    tokenizer, ids = with_tokens(plain, TOKENS[kind])
    net, processor = thinker(kind, tokenizer, ids)
    spread(net, biases=True)
    net.generation_config.eos_token_id = tokenizer.eos_token_id
    net.save_pretrained(folder)
    processor.save_pretrained(folder)
    return net


def spread(net: Any, factor: float = 6.0, *, biases: bool = False) -> None:
    """Wider weights: with transformers' 0.02 every answer would be the same token.

    With `biases` those, too, which begin as zeros there: without them nobody hears padding.
    """
    import torch

    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.ndim > 1:
                parameter.mul_(factor)
            elif biases and name.endswith("bias"):
                parameter.normal_(std=0.1)
