"""The VLMs of transformers whose merger the hybrid compressor can replace, and how they differ."""

from __future__ import annotations

from dataclasses import dataclass

from affect_mllm.types import CheckpointError


@dataclass(frozen=True)
class VLMFamily:
    """What has to be known of a VLM besides its config.

    `deepstack`: its tower also has mergers for earlier layers, whose tokens are added to the
    LLM's first hidden states. `stamped`: each time step of a video stands by itself in the
    prompt, behind its time in words.
    """

    name: str
    deepstack: bool = False
    stamped: bool = False


FAMILIES = {
    "qwen2_vl": VLMFamily("Qwen2-VL"),
    "qwen2_5_vl": VLMFamily("Qwen2.5-VL"),
    "qwen3_vl": VLMFamily("Qwen3-VL", deepstack=True, stamped=True),
}


def family_of(path: str) -> VLMFamily:
    """The family of a folder or Hub id, by its config alone: no weights are read.

    Raises CheckpointError for one that is not known here, what transformers raises for a config
    that cannot be read.
    """
    from transformers import AutoConfig

    kind = AutoConfig.from_pretrained(path).model_type
    if kind not in FAMILIES:
        names = ", ".join(f"{family.name} ({key})" for key, family in FAMILIES.items())
        raise CheckpointError(
            path,
            f"a model of the type {kind}",
            expected=f"a VLM of one of the families {names}",
            fix="choose such a VLM as model.model, or model=affect_mllm for another LLM",
        )
    return FAMILIES[kind]
