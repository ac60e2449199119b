"""Several answers to each prompt, drawn by chance: the prompt is computed once for all of them.

What is drawn from is what the model says, at one temperature and over the whole vocabulary, so that
it can be scored afterwards: nothing is cut off. The chance of a token depends on whose answer it
is and on nothing else; the same prompt has the same answers in any batch, order and process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from affect_mllm.models.llm.cached import continued, prefilled
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.llm.masks import windowed
from affect_mllm.models.llm.prompt import Prompt
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.types import Batch, DataError

ROWS = 64  # answers whose logits and noise exist at once
_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, odd: how SplitMix64 steps
_FIRST, _SECOND = -4658895280553007687, -7723592293110705685  # its multipliers


class Answer(NamedTuple):
    """One drawn answer: ids, the one that ends it included if it came, and log p of each."""

    ids: tuple[int, ...]
    logps: tuple[float, ...]
    ended: bool


@torch.no_grad()
def draw(
    model: AffectMLLM,
    batch: Batch,
    keys: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    end_id: int,
    temperature: float = 1.0,
) -> list[list[Answer]]:
    """Answers to prompts of one row each, one for each of a prompt's `keys` (`key_of`).

    Every prompt has equally many. Rows that have ended are dropped. Raises DataError for packed
    prompts.
    """
    if len(batch.input_ids) != len(batch.sample_ids):
        raise DataError("drawing answers", "packed prompts", expected="one prompt a row")
    prompt, _ = model.prompt(batch)
    states, cache = prefilled(model.llm, prompt)
    each = len(keys[0])
    cache.batch_repeat_interleave(each)
    flat = torch.tensor([key for own in keys for key in own], device=states.device)
    loop = _Loop(model.llm, prompt, each, cache)
    taken: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []  # rows, tokens, log p
    alive = torch.arange(len(flat), device=states.device)
    states = states.repeat_interleave(each, 0)
    for step in range(max_new_tokens):
        tokens, logps = _drawn(model.llm, states, flat[alive], step, temperature)
        taken.append((alive, tokens, logps))
        going = (tokens != end_id).nonzero().squeeze(1)
        if not len(going) or step + 1 == max_new_tokens:
            break
        if len(going) < len(alive):
            cache.batch_select_indices(going)
        alive = alive[going]
        states = loop.next(tokens[going], alive, step)
    found: list[tuple[list[int], list[float]]] = [([], []) for _ in range(len(flat))]
    for of_step in taken:
        for row, token, logp in zip(*(each.tolist() for each in of_step), strict=True):
            found[row][0].append(token)
            found[row][1].append(logp)
    answers = [Answer(tuple(ids), tuple(logps), ids[-1] == end_id) for ids, logps in found]
    return [answers[first : first + each] for first in range(0, len(answers), each)]


def key_of(*told: object) -> int:
    """63 bits of what an answer is the answer to: seed, stage, place, number …"""
    text = "\0".join(map(str, told))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def exponentials(keys: torch.Tensor, step: int, count: int) -> torch.Tensor:
    """Numbers `[R, count]` in float64 that are distributed exponentially with mean 1.

    A function of a row's key `[R]`, the step and the column, on any device: SplitMix64 (Steele,
    Lea, Flood, OOPSLA 2014) of a counter, in whose place other generators keep a state.
    """
    start = _mixed(keys + _wrapped(_GOLDEN * (step + 1))).unsqueeze(1)
    column = torch.arange(1, count + 1, device=keys.device)
    bits = _shifted(_mixed(start + _GOLDEN * column), 11)
    return -torch.log((bits.double() + 0.5) * 2.0**-53)


def _wrapped(value: int) -> int:
    """As 64-bit integers wrap around."""
    return (value + 2**63) % 2**64 - 2**63


def _mixed(values: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finaliser of 64-bit integers, which wrap around."""
    values = (values ^ _shifted(values, 30)) * _FIRST
    values = (values ^ _shifted(values, 27)) * _SECOND
    return values ^ _shifted(values, 31)


def _shifted(values: torch.Tensor, bits: int) -> torch.Tensor:
    """To the right, zeros coming in from the left."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def _drawn(
    llm: LanguageModel, states: torch.Tensor, keys: torch.Tensor, step: int, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next token of each row `[R]` and its log p.

    The largest of p / E with E exponential, which is Gumbel-max: a little noise in the logits
    changes a token only where two are nearly tied, while an inverse-CDF draw moves with every one.
    """
    tokens, logps = [], []
    for part, own in zip(states.split(ROWS), keys.split(ROWS), strict=True):
        logs = torch.log_softmax(llm.logits(part).float() / temperature, -1)
        chosen = (logs - exponentials(own, step, logs.shape[1]).log()).argmax(-1)
        tokens.append(chosen)
        logps.append(logs.gather(1, chosen.unsqueeze(1)).squeeze(1))
    return torch.cat(tokens), torch.cat(logps)


class _Loop:
    """One token at a time behind cached prompts, each repeated `each` times."""

    def __init__(self, llm: LanguageModel, prompt: Prompt, each: int, cache: Any) -> None:
        self.llm, self.prompt, self.each, self.cache = llm, prompt, each, cache
        self.config = llm.config.to_dict()

    def next(self, tokens: torch.Tensor, rows: torch.Tensor, step: int) -> torch.Tensor:
        """States `[R, H]` behind `tokens` `[R]`, the answers' number `step`, of these rows."""
        owners = rows // self.each
        real = self.prompt.real[owners]
        behind = torch.ones(len(rows), step + 1, dtype=torch.bool, device=real.device)
        mask = torch.cat([real, behind], 1)[:, None, None]
        length = mask.shape[-1]
        distance = torch.arange(length - 1, -1, -1, device=real.device)
        places = self.prompt.positions[..., -1:][..., owners, :] + 1 + step
        embeds = self.llm.embed(tokens.unsqueeze(1))
        masks = windowed(mask, distance.unsqueeze(0), self.config)
        return continued(self.llm, embeds, masks, places, self.cache)[:, -1]
