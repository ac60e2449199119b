"""Who sees whom: boolean masks of examples, of answers behind one prompt, and of windows."""

from __future__ import annotations

from typing import Any

import torch

from affect_mllm.borders import Borders
from affect_mllm.models.indices import on_device


def decoder_masks(segments: torch.Tensor, config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The masks `[R, 1, L, L]` of examples, as `windowed`."""
    place = torch.arange(segments.shape[1], device=segments.device)
    return windowed(block_causal_mask(segments), place.unsqueeze(1) - place, config)


def branched(
    segments: torch.Tensor, branches: torch.Tensor, borders: Borders, config: dict[str, Any]
) -> dict[str, torch.Tensor]:
    """`decoder_masks` where examples have several answers, all of which begin behind the prompt."""
    shared = branches.unsqueeze(1) < 0
    mask = block_causal_mask(segments)
    mask = mask & (shared | (branches.unsqueeze(2) == branches.unsqueeze(1))).unsqueeze(1)
    counted = on_device(borders.counted, segments.device)
    place = torch.zeros_like(segments).flatten().index_copy(0, borders.places, counted)
    place = place.view_as(segments)
    return windowed(mask, (place.unsqueeze(2) - place.unsqueeze(1)).unsqueeze(1), config)


def windowed(
    mask: torch.Tensor, distance: torch.Tensor, config: dict[str, Any]
) -> dict[str, torch.Tensor]:
    """The masks `[R, 1, Q, K]` that a decoder's kinds of layers want, by transformers' names.

    `distance`, of a shape that goes with the mask's, is how far a key stands before its query. One
    mask, unless some layers look at all of an example and others at a window of it (Gemma). A
    decoder that is given a mask does not apply its window itself (Mistral, Phi-3).
    """
    window = config.get("sliding_window")
    kinds = set(config.get("layer_types") or []) or {"sliding_attention"}
    if window is None or kinds == {"full_attention"}:
        return {"full_attention": mask}
    both = {"full_attention": mask, "sliding_attention": mask & (distance < window)}
    return {name: both[name] for name in both if name in kinds}


def block_causal_mask(segments: torch.Tensor) -> torch.Tensor:
    """`[R, L]` segment numbers → `[R, 1, L, L]`, true where a position may look.

    Given explicitly: beside a mask of the padding, transformers lets packed examples see one
    another in spite of restarted positions. Padding (−1) looks at padding: a finite softmax.
    """
    same = segments.unsqueeze(2) == segments.unsqueeze(1)
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    return (same & causal).unsqueeze(1)


def additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A boolean mask as what is added to attention scores: 0 or the lowest number of `dtype`."""
    lowest = torch.finfo(dtype).min
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, lowest)
