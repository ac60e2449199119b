"""Tiny random models of transformers that hear: Qwen2.5-Omni, Qwen3-Omni and Qwen2-Audio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from affect_mllm.models.tiny.language import tiny_tokenizer
from affect_mllm.models.tiny.sizes import LANGUAGE, VLM_TOWER

hf: Any = transformers
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
TOKENS["qwen2_audio"] = {
    name: token for name, token in TOKENS["qwen2_5_omni"].items() if name.startswith("audio")
}
TOWER = {
    "num_mel_bins": 128,
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
PICTURES = {"size": {"shortest_edge": 784, "longest_edge": 3136}}


def build(root: Path, kind: str, *, whole: bool = False) -> Path:
    """The folder of the thinker of an omni model, or of a Qwen2-Audio, with its processor.

    `whole`: as published, with the weights of a talker in it, which nothing here may read.
    """
    folder = root / f"{kind}{'_whole' if whole else ''}"
    if folder.exists():
        return folder
    tokens, plain = TOKENS[kind], tiny_tokenizer()
    tokenizer = hf.PreTrainedTokenizerFast(
        tokenizer_object=plain.backend_tokenizer,
        pad_token=plain.pad_token,
        eos_token=plain.eos_token,
        extra_special_tokens=tokens,
    )
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()}
    torch.manual_seed(0)
    net, processor = (_audio if kind == "qwen2_audio" else _omni)(kind, tokenizer, ids)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)  # with transformers' 0.02 every answer would be the same token
    net.generation_config.eos_token_id = tokenizer.eos_token_id
    net.save_pretrained(folder)
    processor.save_pretrained(folder)
    if whole:
        _enclose(folder, kind, net.config)
    return folder


def _text(tokenizer: Any, **more: Any) -> dict[str, Any]:
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


def _omni(kind: str, tokenizer: Any, ids: dict[str, int]) -> tuple[Any, Any]:
    old = kind == "qwen2_5_omni"
    name = "Qwen2_5Omni" if old else "Qwen3OmniMoe"
    more = {} if old else {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    places = "token_index" if old else "token_id"
    tower = VLM_TOWER["qwen2_5_vl" if old else "qwen3_vl"]
    config = getattr(hf, f"{name}ThinkerConfig")(
        text_config=_text(tokenizer, rope_parameters=ROPE, head_dim=16, **more),
        vision_config=tower,
        audio_config={**TOWER, "output_dim": 32, **({} if old else {"downsample_hidden_size": 8})},
        **{f"{each}_{places}": ids[f"{each}_token"] for each in ("image", "audio", "video")},
        audio_start_token_id=ids["audio_bos_token"],
        audio_end_token_id=ids["audio_eos_token"],
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
        tie_word_embeddings=False,
    )
    net = getattr(hf, f"{name}ThinkerForConditionalGeneration")(config)
    pictures = {**PICTURES, "patch_size": tower.get("patch_size", 14)}
    processor = getattr(hf, f"{name}Processor")(
        hf.Qwen2VLImageProcessor(**pictures),
        hf.Qwen2VLVideoProcessor(**pictures),
        hf.WhisperFeatureExtractor(feature_size=128),
        tokenizer,
        chat_template=_template(tokenizer, pictures=True),
    )
    return net, processor


def _audio(kind: str, tokenizer: Any, ids: dict[str, int]) -> tuple[Any, Any]:
    config = hf.Qwen2AudioConfig(
        text_config=_text(tokenizer, model_type="qwen2"),
        audio_config={**TOWER, "model_type": "qwen2_audio_encoder"},
        audio_token_index=ids["audio_token"],
    )
    extractor = hf.WhisperFeatureExtractor(feature_size=128)
    return hf.Qwen2AudioForConditionalGeneration(config), hf.Qwen2AudioProcessor(
        extractor, tokenizer, chat_template=_template(tokenizer, pictures=False)
    )


def _template(tokenizer: Any, *, pictures: bool) -> str:
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
        "{% for part in m.content %}"
        f"{{% if part.type == 'audio' %}}{sound}{seen}"
        "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def _enclose(folder: Path, kind: str, thinker: Any) -> None:
    """Make a thinker's folder that of a whole model: nested, beside weights of a talker."""
    name = {"qwen2_5_omni": "Qwen2_5Omni", "qwen3_omni_moe": "Qwen3OmniMoe"}[kind]
    getattr(hf, f"{name}Config")(thinker_config=thinker.to_dict()).save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    written["architectures"] = [f"{name}ForConditionalGeneration"]
    (folder / "config.json").write_text(json.dumps(written))
    (file,) = folder.glob("*.safetensors")
    weights = {f"thinker.{key}": tensor for key, tensor in load_file(file).items()}
    weights["talker.model.norm.weight"] = torch.ones(3)
    weights["token2wav.code2wav_bigvgan_model.conv_pre.bias"] = torch.ones(3)
    save_file(weights, file, {"format": "pt"})
