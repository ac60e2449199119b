"""InfoNCE: what belongs to one clip is pulled together, against the other clips of the batch."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from affect_mllm.models.hidden import Hidden
from affect_mllm.train.loss.objective import Loss
from affect_mllm.train.loss.ranks import gather_rows
from affect_mllm.types import MODALITIES, Batch, ConfigError

CLIP, DESCRIPTION = "clip", "description"


class InfoNCE(Loss):
    """Symmetric InfoNCE (arXiv 1807.03748; both directions as in CLIP, arXiv 2103.00020).

    `first` and `second` are modalities, `clip` (all media tokens of an example) or `description`
    (the row's label of that name). A side's vector is the mean of its media tokens, or of the
    LLM's input embeddings of the text, through a linear map to `size`. Negatives come from the
    micro-batches of all ranks; examples of one clip, or with one description, are no negatives.
    `temperature` divides the similarities.
    """

    coupled = True

    def __init__(
        self,
        first: str,
        second: str,
        *,
        weight: float = 1.0,
        size: PositiveInt = 128,
        temperature: PositiveFloat = 0.07,
    ) -> None:
        super().__init__(weight=weight)
        known = (CLIP, DESCRIPTION, *MODALITIES)
        if first == second or not {first, second} <= set(known):
            raise ConfigError(
                "losses", f"InfoNCE of {first} and {second}", expected=f"two of {known}"
            )
        self.sides = (first, second)
        self.size, self.temperature = size, temperature

    def head(self, hidden_size: int) -> nn.Module:
        """A normalised linear map for each side."""
        return nn.ModuleDict(
            {
                side: nn.Sequential(nn.LayerNorm(hidden_size), nn.Linear(hidden_size, self.size))
                for side in self.sides
            }
        )

    def count(self, batch: Batch) -> int:
        """Examples that have both sides."""
        return len(self._pairs(batch))

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum over the pairs of all ranks."""
        assert isinstance(head, nn.ModuleDict)
        pairs = self._pairs(batch)
        device = hidden.states.device
        keys = torch.tensor([self._key(batch, i) for i in pairs], dtype=torch.long, device=device)
        sides = []
        for side in self.sides:
            vectors = self._vectors(side, model, batch, hidden, pairs)
            with torch.autocast(device.type, enabled=False):
                sides.append(normalize(head[side](vectors.float()), dim=-1))
        (one, all_keys), (two, _) = (gather_rows(side, keys) for side in sides)
        scores = one @ two.t() / self.temperature
        same = all_keys.unsqueeze(0) == all_keys.unsqueeze(1)
        same.fill_diagonal_(False)
        scores = scores.masked_fill(same, torch.finfo(scores.dtype).min)
        target = torch.arange(len(scores), device=device)
        both = cross_entropy(scores, target, reduction="sum")
        both = both + cross_entropy(scores.t(), target, reduction="sum")
        return both / 2 + 0 * sum(side.sum() for side in sides)

    def _pairs(self, batch: Batch) -> list[int]:
        owners = {name: set(items.examples) for name, items in batch.media.items()}
        media = set().union(*owners.values())
        owners |= {CLIP: media, "multi": media}
        owners[DESCRIPTION] = {i for i, truth in enumerate(batch.truths) if truth.get(DESCRIPTION)}
        first, second = (owners.get(side, set()) for side in self.sides)
        return sorted(first & second)

    def _key(self, batch: Batch, example: int) -> int:
        """Equal for examples that are no negatives of each other."""
        described = DESCRIPTION in self.sides
        text = batch.truths[example][DESCRIPTION] if described else batch.sample_ids[example]
        return int.from_bytes(hashlib.sha256(str(text).encode()).digest()[:7], "big")

    def _vectors(
        self, side: str, model: Any, batch: Batch, hidden: Hidden, pairs: list[int]
    ) -> torch.Tensor:
        """`[N, H]`, one for each pair."""
        if side == DESCRIPTION:
            return self._texts(model, [str(batch.truths[i][DESCRIPTION]) for i in pairs])
        names = [n for n in hidden.tokens if n != "multi"] if side == CLIP else [side]
        found = []
        for i in pairs:
            parts = [hidden.tokens[name][i] for name in names if i in hidden.tokens.get(name, {})]
            found.append(torch.cat(parts).mean(0))
        empty = hidden.states.new_zeros(0, hidden.states.shape[-1])
        return torch.stack(found) if found else empty

    def _texts(self, model: Any, texts: list[str]) -> torch.Tensor:
        """Mean input embeddings; the embedding is used once, even for no text at all."""
        tokenizer = model.llm.tokenizer
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        flat = torch.tensor([0, *(i for row in ids for i in row)], device=model.llm.device)
        rows = model.llm.embed(flat.unsqueeze(0))[0][1:].split([len(row) for row in ids])
        width = model.llm.hidden_size
        means = [row.mean(0) for row in rows]
        return torch.stack(means) if means else torch.zeros(0, width, device=flat.device)
