"""The VLMs of transformers whose merger the hybrid compressor can replace, and how they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from affect_mllm.types import CheckpointError

Mixed = Literal["chunks", "merge"]


@dataclass(frozen=True)
class Hearing:
    """What has to be known of a VLM that hears.

    `tail`: its audio tower's last modules, which the compressor replaces. `mixed`: how a video and
    its sound take turns in the prompt, chunk by chunk or token by token. `padded`: whether its
    spectrogram is that of a sound with silence behind it, up to its feature extractor's window.
    """

    tail: tuple[str, ...]
    mixed: Mixed
    padded: bool


@dataclass(frozen=True)
class VLMFamily:
    """What has to be known of a VLM besides its config.

    `deepstack`: its tower also has mergers for earlier layers, whose tokens are added to the
    LLM's first hidden states. `stamped`: each time step of a video stands by itself in the
    prompt, behind its time in words. `hearing`: of an omni model, of which the thinker is loaded.
    `packs`: examples can share a row; where layers carry a state from token to token, as linear
    attention does, they would read each other in spite of every mask.
    """

    name: str
    deepstack: bool = False
    stamped: bool = False
    hearing: Hearing | None = None
    packs: bool = True


QWEN25_OMNI = VLMFamily(
    "Qwen2.5-Omni", hearing=Hearing(("ln_post", "proj"), mixed="chunks", padded=True)
)
QWEN3_OMNI = VLMFamily(
    "Qwen3-Omni",
    deepstack=True,
    hearing=Hearing(("ln_post", "proj1", "act", "proj2"), mixed="merge", padded=False),
)
FAMILIES = {
    "qwen2_vl": VLMFamily("Qwen2-VL"),
    "qwen2_5_vl": VLMFamily("Qwen2.5-VL"),
    "qwen3_vl": VLMFamily("Qwen3-VL", deepstack=True, stamped=True),
    "qwen3_vl_moe": VLMFamily("Qwen3-VL-MoE", deepstack=True, stamped=True),
    "qwen3_5": VLMFamily("Qwen3.5", stamped=True, packs=False),
    "qwen3_5_moe": VLMFamily("Qwen3.5-MoE", stamped=True, packs=False),
    "qwen2_5_omni": QWEN25_OMNI,
    "qwen2_5_omni_thinker": QWEN25_OMNI,  # as a thinker is saved by itself
    "qwen3_omni_moe": QWEN3_OMNI,
    "qwen3_omni_moe_thinker": QWEN3_OMNI,
}
# Why a model that `baseline=hf` asks is no native one here.
NOT_NATIVE = {
    "qwen2_audio": "Qwen2-Audio, which only hears, and 30 s at most: a native model's positions "
    "are those of what it sees, and its sounds are heard to their end",
}
# What the tokens of an omni model's ids are called in any of its tokenizers.
SPELT = {
    "image_token_id": "image",
    "video_token_id": "video",
    "vision_start_token_id": "vision",
    "vision_end_token_id": "vision",
    "audio_token_id": "audio",
    "audio_start_token_id": "audio",
    "audio_end_token_id": "audio",
}


def family_of(path: str) -> tuple[VLMFamily, Any]:
    """The family of a folder or Hub id and its config, an omni model's thinker's: no weights.

    Raises CheckpointError for one that is not known here, what transformers raises for a config
    that cannot be read.
    """
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(path)
    kind = config.model_type
    if kind not in FAMILIES:
        names = {family.name: f"{family.name} ({key})" for key, family in FAMILIES.items()}
        raise CheckpointError(
            path,
            NOT_NATIVE.get(kind, f"a model of the type {kind}"),
            expected=f"a VLM of one of the families {', '.join(names.values())}",
            fix="choose such a VLM as model.model, or model=affect_mllm for another LLM"
            + ("; baseline=hf asks it as it is" if kind in NOT_NATIVE else ""),
        )
    return FAMILIES[kind], getattr(config, "thinker_config", config)


def check_ids(path: str, config: Any, tokenizer: Any) -> None:
    """CheckpointError unless an omni model's config names its media tokens, and rightly.

    A class default that stands in for what a config lacks is another token of its tokenizer.
    """
    for name, part in SPELT.items():
        found = getattr(config, name, None)
        known = found is not None and found < len(tokenizer)
        token = str(tokenizer.convert_ids_to_tokens(found)) if known else "no token"
        if part not in token.lower():
            raise CheckpointError(
                path,
                f"{name} is {found}, {token}",
                expected=f"the id of a token that is called after {part}",
                fix=f"write it into its config.json: {_likely(tokenizer, name, part)}",
            )


def _likely(tokenizer: Any, name: str, part: str) -> str:
    """The tokens that `name` may mean, with their ids."""
    special = tokenizer.get_added_vocab()
    found = [f"{id} ({token})" for token, id in special.items() if part in token.lower()]
    return f"{name} is one of {', '.join(found)}" if found else f"{name} is none of its tokens"
