"""Several answers behind one prompt: where their tokens are predicted, and how likely they are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch

from affect_mllm.models.hidden import Hidden
from affect_mllm.models.indices import on_device
from affect_mllm.train.loss.logps import token_logps
from affect_mllm.train.loss.token import plain_head
from affect_mllm.types import Batch, ConfigError

CHUNK = 256  # positions whose logits exist at once


class Answers(NamedTuple):
    """The answers of a batch's examples that have several, one after another, on the host.

    Of each token: its id in `targets` `[M]`, in `sources` `[M]` the position that predicts it
    (counted through all rows; of an answer's first token it is the prompt's last), in `owners`
    `[M]` the number of its answer. Of each answer: its `examples` number, its number among that
    one's answers, its length, and in `ends` `[N]` the position of its last token.
    """

    sources: torch.Tensor
    targets: torch.Tensor
    owners: torch.Tensor
    examples: tuple[int, ...]
    numbers: tuple[int, ...]
    lengths: tuple[int, ...]
    ends: torch.Tensor

    @classmethod
    def of(cls, batch: Batch) -> Answers:
        """Those of a batch, wherever it is."""
        host = batch.on_host
        borders, segments = host.borders, host.segments.flatten()
        places, sources, inputs = borders.places.tolist(), [], []
        examples, numbers, lengths, ends = [], [], [], []
        for first, (prompt, *answers) in zip(borders.cuts, borders.forks, strict=False):
            starts = accumulate(answers, initial=first + prompt)
            for number, (start, length) in enumerate(zip(starts, answers, strict=False)):
                at = places[start : start + length]
                sources += [places[first + prompt - 1], *at[:-1]]
                inputs += at
                examples.append(int(segments[at[0]]))
                numbers.append(number)
                lengths.append(length)
                ends.append(at[-1])
        owners = [owner for owner, length in enumerate(lengths) for _ in range(length)]
        return cls(
            torch.tensor(sources, dtype=torch.long),
            host.input_ids.flatten()[torch.tensor(inputs, dtype=torch.long)],
            torch.tensor(owners, dtype=torch.long),
            tuple(examples),
            tuple(numbers),
            tuple(lengths),
            torch.tensor(ends, dtype=torch.long),
        )

    def sums(self, tokens: torch.Tensor) -> torch.Tensor:
        """What tokens `[M]` have, added up by answer `[N]`."""
        owners = on_device(self.owners, tokens.device)
        return tokens.new_zeros(len(self.lengths)).index_add(0, owners, tokens)

    def each(self, values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
        """Numbers of each answer, on the device and of the dtype of `like`."""
        return on_device(values, like.device, like.dtype)


def check_branches(model: Any) -> None:
    """ConfigError for an LLM that cannot read several answers behind one prompt."""
    if not model.llm.packs:
        raise ConfigError(
            "losses",
            "one that compares answers, of an LLM whose linear attention would read one behind "
            "another",
            expected="an LLM that can read all answers in one row",
            fix="take another LLM",
        )


class Scored(NamedTuple):
    """Log-probabilities `[M]` of the tokens of `answers`, and the entropy where they were drawn."""

    answers: Answers
    logps: torch.Tensor
    entropies: torch.Tensor


def scored(model: Any, batch: Batch, hidden: Hidden) -> Scored:
    """Of all of a batch's answers, at the temperature that they were drawn at.

    Computed once for all losses of a micro-batch (`Hidden.shared`).
    """
    if "scored" not in hidden.shared:
        hidden.shared["scored"] = _scored(model, batch, hidden)
    return hidden.shared["scored"]


def _scored(model: Any, batch: Batch, hidden: Hidden) -> Scored:
    answers, device = Answers.of(batch), hidden.states.device
    output = plain_head(model.llm.net)
    temperature = next((d.temperature for d in batch.on_host.drawn if d is not None), 1.0)
    logps, entropies = token_logps(
        hidden.states.flatten(0, 1)[on_device(answers.sources, device)],
        output.weight,
        output.bias,
        on_device(answers.targets, device),
        chunk=CHUNK,
        temperature=temperature,
    )
    return Scored(answers, logps, entropies)
