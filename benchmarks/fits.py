"""Whether each experiment fits eight devices of 80 GB at the clip lengths below, by `estimate`.

    python benchmarks/fits.py [--only NAME …] [--memory 80GB]

`affect-mllm estimate … --processes 8 --fit` with the launch and batch that docs/training.md
starts each experiment with, at the clip length beside it, and what a micro-batch could hold at most
(of the examples that a device gets in a step). Sizes are those of the published config.json files,
written here: nothing is fetched, and no weight exists. Nothing runs on a device, and none of these
steps was taken on one.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from affect_mllm.tools.estimate import RESERVED, estimate, read_bytes

GIB = 2**30
# As published with these models.
# fmt: off
HF: dict[str, dict[str, Any]] = {
    "qwen25": {
        "model_type": "qwen2", "vocab_size": 152064, "hidden_size": 3584,
        "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "max_position_embeddings": 32768,
        "tie_word_embeddings": False,
    },
    "llama2": {
        "model_type": "llama", "vocab_size": 32000, "hidden_size": 4096,
        "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "max_position_embeddings": 4096,
    },
    "clip": {
        "model_type": "clip", "projection_dim": 768,
        "vision_config": {
            "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
            "num_attention_heads": 16, "patch_size": 14, "projection_dim": 768,
        },
        "text_config": {"projection_dim": 768},
    },
    "hubert": {
        "model_type": "hubert", "hidden_size": 1024, "intermediate_size": 4096,
        "num_hidden_layers": 24, "num_attention_heads": 16, "feat_extract_norm": "layer",
        "conv_bias": True, "do_stable_layer_norm": True,
    },
    "whisper": {
        "model_type": "whisper", "d_model": 1280, "encoder_layers": 32,
        "encoder_attention_heads": 20, "encoder_ffn_dim": 5120, "num_mel_bins": 128,
        "decoder_layers": 32, "decoder_attention_heads": 20, "decoder_ffn_dim": 5120,
        "vocab_size": 51866,
    },
    "videomae": {
        "model_type": "videomae", "hidden_size": 1024, "intermediate_size": 4096,
        "num_hidden_layers": 24, "num_attention_heads": 16,
    },
    "eva": {"architecture": "eva_giant_patch14_clip_224", "num_classes": 0},
}
VL_TEXT = {**HF["qwen25"], "model_type": "qwen2_5_vl_text",
           "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24],
                               "rope_theta": 1000000.0}}
VL_VISION = {
    "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
    "out_hidden_size": 3584, "patch_size": 14, "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}
# Qwen2.5-Omni-7B's thinker: Qwen2.5-VL's tower and text, the encoder of a Whisper, its tokens.
# It has 8,931,813,888 parameters, as the index of its published weights says.
OMNI_SOUND = {
    "num_mel_bins": 128, "d_model": 1280, "encoder_layers": 32, "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120, "output_dim": 3584,
}
OMNI_IDS = {
    "audio_token_index": 151646, "audio_start_token_id": 151647, "audio_end_token_id": 151648,
    "vision_start_token_id": 151652, "vision_end_token_id": 151653,
    "image_token_index": 151655, "video_token_index": 151656,
}
# Qwen3-Omni-30B-A3B's thinker: 31,719,205,488 parameters, as its model cards say.
OMNI3_TEXT = {
    "vocab_size": 152064, "hidden_size": 2048, "intermediate_size": 768, "num_hidden_layers": 48,
    "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128,
    "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8,
    "rope_parameters": {"rope_type": "default", "mrope_section": [24, 20, 20],
                        "rope_theta": 1000000.0},
}
OMNI3_VISION = {
    "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "patch_size": 16,
    "out_hidden_size": 2048, "num_position_embeddings": 2304,
    "deepstack_visual_indexes": [8, 16, 24],
}
OMNI3_SOUND = {**OMNI_SOUND, "output_dim": 2048, "downsample_hidden_size": 480}
OMNI3_IDS = {
    "audio_token_id": 151675, "audio_start_token_id": 151669, "audio_end_token_id": 151670,
    "vision_start_token_id": 151652, "vision_end_token_id": 151653,
    "image_token_id": 151655, "video_token_id": 151656,
}
AFFECTGPT = {
    "llm.model": "qwen25", "encoders.visual.model": "clip", "encoders.audio.model": "hubert",
}
LARGE = {"llm.model": "qwen25", "encoders.visual.model": "clip", "encoders.audio.model": "whisper"}
# A line of the table → settings of docs/training.md, clip length in s, parts. The experiment is the
# line's first word; everything that is not said here is in its YAML.
CASES: dict[str, tuple[list[str], float, dict[str, str]]] = {
    "affectgpt": (["launch=ddp", "stages.affectgpt.batch_size=24"], 16.0, AFFECTGPT),
    "affectgpt_qformer": (["launch=ddp", "stages.affectgpt.batch_size=24"], 16.0, AFFECTGPT),
    "emotion_llama": (
        ["launch=ddp", "stages.emotion_llama_coarse.batch_size=8",
         "stages.emotion_llama_fine.batch_size=8"], 10.0,
        {"llm.model": "llama2", "encoders.picture.model": "eva", "encoders.clip.model": "videomae",
         "encoders.audio.model": "hubert"},
    ),
    "emotion_llama_v2": (
        ["launch=ddp", "stages.emotion_llama_v2_perceive.batch_size=8",
         "stages.emotion_llama_v2_reason.batch_size=8"], 30.0,
        {"llm.model": "llama2", "encoders.picture.model": "eva", "encoders.clip.model": "eva",
         "encoders.audio.model": "whisper"},
    ),
    "emotion_qwen": (["launch=zero2"], 32.0, {"model": "qwen25vl"}),
    "omni_hybrid": (["launch=zero2"], 32.0, {"model": "qwen25omni"}),
    "omni_hybrid model=qwen3_omni_30b": (["launch=fsdp2"], 32.0, {"model": "qwen3omni"}),
    "humanomni_v2_sft": (["launch=zero3"], 32.0, {"model": "qwen25omni"}),
    "affectgpt_r1": (["launch=zero2", "stages.affectgpt.batch_size=24"], 16.0, AFFECTGPT),
    "r1_omni": (["launch=zero2"], 10.0, LARGE),
    "affect_hybrid": (["launch=fsdp2"], 10.0, LARGE),
}
# fmt: on


def main(
    only: Annotated[list[str] | None, typer.Option(help="Of these experiments.")] = None,
    memory: Annotated[str, typer.Option(help="What a device has.")] = "80GB",
) -> None:
    """Print a row a stage, as of a table in Markdown."""
    print("| experiment | stage | clip | positions of a micro-batch | GiB | most clips that fit |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = _parts(Path(folder))
        for name in only or CASES:
            settings, clip_s, parts = CASES[name]
            given = [
                *f"experiment={name}".split(),
                *settings,
                *(f"model.{key}={root / part}" for key, part in parts.items()),
            ]
            how: dict[str, Any] = {"clip_s": clip_s, "text": (96, 128), "processes": 8}
            asked = estimate(given, **how)
            stages = asked["stages"]
            size = {stage: found["bytes"][asked["strategy"]] for stage, found in stages.items()}
            room = read_bytes(memory) - RESERVED
            most = {stage: found["examples"] for stage, found in stages.items()}
            if any(found["micro_batches"] > 1 or size[n] > room for n, found in stages.items()):
                largest = estimate(given, fit=read_bytes(memory), **how)["stages"]
                most = {stage: found["examples"] for stage, found in largest.items()}
            for stage, found in stages.items():
                ok = "" if size[stage] <= room else " **does not fit**"
                shape = found["micro_batch"]
                tokens = f"{shape['rows']} × {shape['length']}"
                print(
                    f"| `{name}` | `{stage}` | {found['examples']} × {clip_s:g} s | "
                    f"{tokens} | {size[stage] / GIB:.1f}{ok} | {most[stage]} |",
                    flush=True,
                )


def _parts(root: Path) -> Path:
    """The folder with one for each model, of configs alone."""
    from transformers import Qwen2_5_VLConfig
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

    for name, sizes in HF.items():
        (root / name).mkdir()
        (root / name / "config.json").write_text(json.dumps(sizes))
    vlm = Qwen2_5_VLConfig(text_config=VL_TEXT, vision_config=VL_VISION, tie_word_embeddings=False)
    vlm.save_pretrained(root / "qwen25vl")
    Qwen2VLImageProcessor().save_pretrained(root / "qwen25vl")
    for kind in ("qwen25omni", "qwen3omni"):
        _omni(root / kind, old=kind == "qwen25omni")
    return root


def _omni(folder: Path, *, old: bool) -> None:
    """The config of an omni model's thinker, and of what cuts its pictures and sounds."""
    import transformers
    from transformers import WhisperFeatureExtractor
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

    hf: Any = transformers
    if old:
        thinker = hf.Qwen2_5OmniThinkerConfig(
            text_config={**VL_TEXT, "model_type": "qwen2_5_omni_text"}, vision_config=VL_VISION,
            audio_config=OMNI_SOUND, position_id_per_seconds=25, seconds_per_chunk=2,
            tie_word_embeddings=False, **OMNI_IDS,
        )  # fmt: skip
    else:
        thinker = hf.Qwen3OmniMoeThinkerConfig(
            text_config=OMNI3_TEXT, vision_config=OMNI3_VISION, audio_config=OMNI3_SOUND,
            position_id_per_seconds=13, seconds_per_chunk=2, tie_word_embeddings=False,
            **OMNI3_IDS,
        )  # fmt: skip
    thinker.save_pretrained(folder)
    pictures = Qwen2VLImageProcessor(patch_size=thinker.vision_config.patch_size).to_dict()
    sounds = WhisperFeatureExtractor(feature_size=128, chunk_length=300 if old else 30).to_dict()
    both = json.dumps({**pictures, **sounds}, default=int)  # one file, as published
    (folder / "preprocessor_config.json").write_text(both)


if __name__ == "__main__":
    typer.run(main)
