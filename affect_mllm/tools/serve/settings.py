"""How a request wants its answer: greedy or drawn, how long, whole or in pieces."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from affect_mllm.models.decoding import Repeat, TokenSampling
from affect_mllm.tools.pipeline import LONGEST
from affect_mllm.tools.serve.body import Body
from affect_mllm.types import ConfigError

_COLDEST = 1e-6  # below, scores that are divided by it overflow


@dataclass(frozen=True)
class Decoding:
    """What requests have in common that are asked together; greedy without `sampling`."""

    max_tokens: int
    sampling: TokenSampling | None = None

    def repeat(self, seeds: Mapping[str, int]) -> Repeat | None:
        """What draws the tokens of requests with these seeds by id; None where nothing does."""
        return self.sampling and Seeded(self.sampling, 0, seeds)


@dataclass(frozen=True)
class Seeded(Repeat):
    """Drawn answers, each by a seed of its own: the same in any batch and for any id."""

    seeds: Mapping[str, int]

    def seed_of(self, row: str) -> int:
        """What decides this row's tokens."""
        own = TokenSampling(self.sampling.temperature, self.sampling.top_p, self.seeds[row])
        return Repeat(own, self.number).seed_of("")


@dataclass(frozen=True)
class Settings:
    """Of one request: `usage` counts come at a stream's end; `seed` decides what is drawn."""

    decoding: Decoding
    seed: int
    stream: bool
    usage: bool


def settings_of(body: Body, most: int) -> Settings:
    """What `body` asks for. Without a temperature, or at 0 or next to it, answers are greedy as
    `predict`'s are.

    ConfigError for more than `most` tokens, or two numbers of them.
    """
    options = body.stream_options
    return Settings(
        Decoding(_length(body, most), _sampling(body)),
        secrets.randbits(32) if body.seed is None else body.seed,
        bool(body.stream),
        options is not None and options.include_usage,
    )


def _sampling(body: Body) -> TokenSampling | None:
    temperature = body.temperature or 0.0
    if temperature < _COLDEST:
        return None  # the likeliest token is in every nucleus: top_p changes nothing
    return TokenSampling(temperature, 1.0 if body.top_p is None else body.top_p)


def _length(body: Body, most: int) -> int:
    given = {"max_tokens": body.max_tokens, "max_completion_tokens": body.max_completion_tokens}
    said = {name: number for name, number in given.items() if number is not None}
    if len({*said.values()}) > 1:
        raise ConfigError(" and ".join(said), f"{[*said.values()]}", expected="one of them")
    for name, number in said.items():
        if number > most:
            raise ConfigError(name, str(number), expected=f"at most {most} (serve --max-tokens)")
        return number
    return min(LONGEST, most)
