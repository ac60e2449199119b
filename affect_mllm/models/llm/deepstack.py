"""DeepStack: what a tower's earlier layers saw, added behind the LLM's first layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from affect_mllm.models.hidden import Tokens
from affect_mllm.models.splice import pieces
from affect_mllm.types import Batch


@dataclass(frozen=True)
class Deep:
    """`layers[i]` `[M, H]` is added behind the LLM's layer `i` at `places` `[R, L]`, row by row.

    After DeepStack (arXiv 2406.04334) as Qwen3-VL has it; the keywords are those of transformers'
    Qwen3VLTextModel.
    """

    places: torch.Tensor
    layers: tuple[torch.Tensor, ...]

    @classmethod
    def of(cls, batch: Batch, tokens: Sequence[Tokens]) -> Deep | None:
        """From the features of each layer by modality and example; None where there are none."""
        if not tokens:
            return None
        places = torch.zeros_like(batch.segments, dtype=torch.bool)
        for span in batch.spans:
            if span.modality in tokens[0]:
                places[span.row, span.start : span.start + span.length] = True
        spans = [span for span in batch.spans if span.modality in tokens[0]]
        layers = [torch.cat([each for _, each in pieces(spans, layer)]) for layer in tokens]
        return cls(places, tuple(layers))

    def flat(self, real: torch.Tensor) -> Deep:
        """The same for one row of the positions `real` `[T]` of all rows laid end to end."""
        return replace(self, places=self.places.flatten().index_select(0, real).unsqueeze(0))

    def moved(self, source: torch.Tensor) -> Deep:
        """The same for rows whose position `i` was `source[:, i]`, in one order still."""
        return replace(self, places=self.places.gather(1, source))

    def arguments(self) -> dict[str, Any]:
        """Keywords of the decoder."""
        return {
            "visual_pos_masks": self.places,
            "deepstack_visual_embeds": list(self.layers),
        }


@contextmanager
def prompted(decoder: Any, deep: Deep | None) -> Iterator[None]:
    """Inside it, the decoder's first call, which reads the prompt, gets `deep`.

    transformers' `generate` has no way to hand it down beside embeddings.
    """
    if deep is None:
        yield
        return

    def once(_module: Any, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        handle.remove()
        return args, {**given, **deep.arguments()}

    handle = decoder.register_forward_pre_hook(once, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
