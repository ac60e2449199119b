"""How answers are generated: greedily or drawn by chance, and as nobody else says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from affect_mllm.log import LOGGER
from affect_mllm.types import ConfigError

if TYPE_CHECKING:
    import torch

# Token ids so far `[R, T]` and the next token's scores `[R, V]` in, scores out.
Chooser = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


class Listener(Protocol):
    """Hears answers token by token while they are generated."""

    def hear(self, tokens: Sequence[int]) -> list[bool]:
        """Take the newest token of every row; which rows nobody waits for any more."""
        ...


GREEDY = "greedy"  # what predictions are stamped with: the likeliest token each time, nothing else
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
# Not about what is said: who wrote it, how it is computed, and the lengths that callers give.
_IDLE = (
    *("transformers_version", "_from_model_config", "use_cache", "cache_implementation"),
    *("output_attentions", "output_hidden_states"),
)
_LENGTHS = ("max_length", "max_new_tokens")


@dataclass(frozen=True)
class TokenSampling:
    """Tokens drawn in proportion to their probabilities at `temperature`.

    Only the likeliest tokens count that make up `top_p` of them together. `seed` decides, with a
    row's id and the repeat's number, what is drawn. ConfigError for what is no such number.
    """

    temperature: float = 0.7
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, fits, expected in (
            ("temperature", self.temperature > 0, "above 0; greedy answers need no repeats"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
        ):
            if not fits:
                raise ConfigError(f"sampling.{name}", f"{getattr(self, name)}", expected=expected)


@dataclass(frozen=True)
class Repeat:
    """One of several drawn answers to every row: the `number`-th."""

    sampling: TokenSampling
    number: int

    def __str__(self) -> str:
        given = self.sampling
        return (
            f"sampled at temperature {given.temperature:g}, top_p {given.top_p:g}, "
            f"seed {given.seed}, repeat {self.number}"
        )

    def seed_of(self, row: str) -> int:
        """What decides this row's tokens: 31 bits, the same in any batch, order and process."""
        told = f"{self.sampling.seed}\0{self.number}\0{row}"
        return int.from_bytes(hashlib.sha256(told.encode()).digest()[:4], "big") >> 1

    def chooser(self, rows: Sequence[str], count: int) -> Chooser:
        """For `generate`'s logits_processor: one call a token, `count` of them at most.

        It leaves the drawn token of each of the `rows` alone possible, so that a greedy search
        takes it. One number from 0 to 1 decides a token (inverse of the cumulative distribution,
        in float64), so that it is the same one on every device but for rounding.
        """
        import numpy as np
        import torch

        draws = [np.random.default_rng(self.seed_of(row)).random(count) for row in rows]
        places = iter(torch.from_numpy(np.stack(draws, axis=1)))

        def choose(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            kept = _nucleus(scores.double() / self.sampling.temperature, self.sampling.top_p)
            sums = kept.cumsum(-1)
            place = next(places).to(scores.device).unsqueeze(1) * sums[:, -1:]
            # The first token whose sum lies above: never one of probability 0.
            token = torch.searchsorted(sums, place, right=True)
            last = (kept > 0).to(torch.int64).cumsum(-1).argmax(-1, keepdim=True)
            chosen = torch.full_like(scores, -torch.inf)
            return chosen.scatter_(1, torch.minimum(token, last), 0.0)

        return choose


def _nucleus(scores: torch.Tensor, top_p: float) -> torch.Tensor:
    """Probabilities `[R, V]`, 0 but for the fewest tokens that reach `top_p` together."""
    shares = scores.softmax(-1)
    if top_p >= 1:
        return shares
    ordered, order = shares.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    return shares.scatter(1, order, ordered.masked_fill(before >= top_p, 0.0))


def stopping(listener: Listener) -> Callable[..., torch.Tensor]:
    """For `generate`'s stopping_criteria: it tells the listener each step's tokens."""
    import torch

    def stop(ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return torch.tensor(listener.hear(ids[:, -1].tolist()), device=ids.device)

    return stop


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
    LOGGER.info("%s: its generation_config adds %s; not used, decoding is our own", name, added)


def token_bound(answer: str) -> int:
    """How many tokens an answer has at most, what ends it included: a byte each and one more."""
    return len(answer.encode("utf-8", "replace")) + 1
