"""How large tiny models are, as data: by the names that transformers' configurations use."""

from __future__ import annotations

from typing import Any

# Names of a model on the Hub that say another architecture than its configuration does.
ALIASES = {
    "siglip2": "siglip",  # the variants of fixed size; NaFlex has the name to itself
    "gemma3": "gemma3_text",
    "smollm2": "llama",
    "qwen3_omni": "qwen3_omni_moe",
    "qwen3_vl_30b": "qwen3_vl_moe",
    "qwen3_vl_235b": "qwen3_vl_moe",
}
# Of any configuration, and of those inside it: what a field is, where there is one of that name.
SIZES: dict[str, Any] = {
    "hidden_size": 24,
    "d_model": 16,
    "intermediate_size": 32,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_hidden_layers": 4,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "num_attention_heads": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "vocab_size": 20,
    "projection_dim": 20,
    "projection_size": 24,
    "image_size": 32,
    "patch_size": 8,
    "num_frames": 4,
    "tubelet_size": 2,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 5),
    "conv_stride": (80, 4),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    # What a frozen encoder must not do, or features were random.
    "mask_time_prob": 0.5,
    "mask_time_length": 2,
    "layerdrop": 0.5,
    # Within the vocabulary.
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}
# Besides, by architecture; by a part of the name, where variants differ in more than size.
OF_ARCHITECTURE: dict[str, dict[str, Any]] = {
    "data2vec-audio": {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5},
}
OF_VARIANT: dict[tuple[str, str], dict[str, Any]] = {
    (kind, "large"): {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
    for kind in ("hubert", "wavlm", "wav2vec2")
}
# timm's: a part of the name → an architecture of its family with options. Of other families timm
# has a model `test_FAMILY`.
TIMM: dict[str, tuple[str, dict[str, Any]]] = {
    "eva": ("eva02_tiny_patch14_224", {"img_size": 28, "depth": 2, "embed_dim": 48}),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 32, "window_size": 4, "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2]},
    ),
    "vit": ("test_vit", {"img_size": 32}),
}
TIMM_PICTURE = 64  # pixels, where the architecture's options do not say

LANGUAGE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 4096,
}
# Whose output layer is their embedding, though their architecture's default is that it is not.
TIED = ("smollm2",)
# Whose tokenizer is SentencePiece's; the others' are byte-level.
SENTENCEPIECE = ("llama-2", "mistral", "phi-3", "gemma")

# A VLM's tower (its attention windows are smaller than a picture), its text and its pictures.
VLM_TOWER: dict[str, dict[str, Any]] = {
    "qwen2_vl": {"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2},
    "qwen2_5_vl": {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_heads": 2,
        "out_hidden_size": 32,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    },
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
VLM_TOWER["qwen3_vl_moe"] = VLM_TOWER["qwen3_vl"]
VLM_TOWER["qwen3_5"] = {
    name: size for name, size in VLM_TOWER["qwen3_vl"].items() if name[:9] != "deepstack"
}
# Four experts, of which two are taken for each token.
OMNI_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
VLM_TEXT: dict[str, dict[str, Any]] = {"qwen3_vl": {"head_dim": 16, "num_hidden_layers": 3}}
VLM_TEXT["qwen3_vl_moe"] = VLM_TEXT["qwen3_vl"] | OMNI_EXPERTS
VLM_TEXT["qwen3_5"] = {
    "head_dim": 16,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
VLM_PICTURES: dict[str, dict[str, Any]] = {
    "qwen3_vl": {"patch_size": 14, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
}
VLM_PICTURES |= dict.fromkeys(("qwen3_vl_moe", "qwen3_5"), VLM_PICTURES["qwen3_vl"])
OMNI_SOUND: dict[str, Any] = {
    "num_mel_bins": 128,
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "output_dim": 32,
}
