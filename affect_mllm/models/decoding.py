"""How answers are generated: greedily, and as nobody else says."""

from __future__ import annotations

from functools import cache
from typing import Any

from affect_mllm.log import LOGGER

GREEDY = "greedy"  # what predictions are stamped with: the likeliest token each time, nothing else
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
# Not about what is said: who wrote it, how it is computed, and the lengths that callers give.
_IDLE = (
    *("transformers_version", "_from_model_config", "use_cache", "cache_implementation"),
    *("output_attentions", "output_hidden_states"),
)
_LENGTHS = ("max_length", "max_new_tokens")


def take_over(net: Any, name: str) -> None:
    """Leave of a model's own `generation_config` the ids of its tokens, and name the rest once.

    transformers fills whatever a caller of `generate` leaves open with what the weights' folder
    says (`repetition_penalty`, `min_new_tokens`, a temperature …), "greedy" or not.
    """
    from transformers import GenerationConfig

    own = net.generation_config.to_diff_dict()
    kept = {key: own[key] for key in _TOKENS if own.get(key) is not None}
    added = {k: v for k, v in own.items() if k not in (*_TOKENS, *_IDLE, *_LENGTHS)}
    if added:
        _say(name, ", ".join(f"{key}={value}" for key, value in sorted(added.items())))
    net.generation_config = GenerationConfig(**kept)


@cache
def _say(name: str, added: str) -> None:
    LOGGER.info("%s: its generation_config adds %s; not used, answers are greedy", name, added)
