"""DeepStack: what a tower's earlier layers saw, added behind the LLM's first layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from affect_mllm.models.hidden import Tokens
from affect_mllm.models.indices import on_device
from affect_mllm.models.splice import pieces
from affect_mllm.types import Batch


@dataclass(frozen=True)
class Deep:
    """`layers[i]` `[M, H]` is added behind the LLM's layer `i` at `places` `[M]`.

    Places are counted through all rows, laid end to end. After DeepStack (arXiv 2406.04334) as
    Qwen3-VL has it; the keywords are those of transformers' Qwen3VLTextModel, which `by_places`
    makes take places where it has a mask.
    """

    places: torch.Tensor
    layers: tuple[torch.Tensor, ...]

    @classmethod
    def of(cls, batch: Batch, tokens: Sequence[Tokens]) -> Deep | None:
        """From the features of each layer by modality and example; None where there are none."""
        if not tokens:
            return None
        spans = [span for span in batch.spans if span.modality in tokens[0]]
        layers = [pieces(spans, layer) for layer in tokens]
        width, places = batch.segments.shape[1], []
        for span, _ in layers[0]:
            first = span.row * width + span.start
            places += range(first, first + span.length)
        return cls(
            on_device(places, batch.segments.device),
            tuple(torch.cat([each for _, each in layer]) for layer in layers),
        )

    def flat(self, real: torch.Tensor) -> Deep:
        """The same for one row of the positions `real` `[T]`, in their order, of all rows."""
        return replace(self, places=torch.searchsorted(real, self.places))

    def moved(self, shift: torch.Tensor, length: int) -> Deep:
        """The same for rows of `length`, row `i` turned to the right by `shift[i]`."""
        rows, inside = self.places // length, self.places % length
        return replace(self, places=rows * length + (inside + shift[rows]) % length)

    def arguments(self) -> dict[str, Any]:
        """Keywords of the decoder."""
        return {
            "visual_pos_masks": self.places,
            "deepstack_visual_embeds": list(self.layers),
        }


def by_places(decoder: Any) -> None:
    """Let transformers' decoder add `Deep` by places: a mask has to be asked of the device."""
    decoder._deepstack_process = _added


def _added(states: torch.Tensor, places: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """The states `[R, L, H]` with features `[M, H]` added at `places`."""
    flat = states.flatten(0, 1)
    return flat.index_add(0, places, features.to(states.dtype)).view_as(states)


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
