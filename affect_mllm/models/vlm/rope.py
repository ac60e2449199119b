"""Positions in time, height and width of one example, by a VLM's own rope function."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

import torch

from affect_mllm.types import Batch

IMAGE, VIDEO = 1, 2  # transformers' mm_token_type_ids; 0 is text
Grid = tuple[int, int, int]


@dataclass
class Shown:
    """What one example shows, in the order of its prompt.

    `steps_s` are the seconds of a time step of each of `videos`, `sounds` the frames of each sound.
    `places` are spans as (kind, start, length), from the example's first position on.
    """

    images: list[Grid] = field(default_factory=list)
    videos: list[Grid] = field(default_factory=list)
    steps_s: list[float] = field(default_factory=list)
    sounds: list[int] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, batch: Batch, example: int, start: int, videos: Collection[str]) -> Shown:
        """Of the example that begins at position `start` of its row; `batch` is on the host."""
        made = cls()
        spans = sorted((s for s in batch.spans if s.example == example), key=lambda s: s.start)
        for span in spans:
            if span.modality != "audio":
                kind = VIDEO if span.modality in videos else IMAGE
                made.places.append((kind, span.start - start, span.length))
        for modality, item in dict.fromkeys((span.modality, span.item) for span in spans):
            items = batch.media[modality]
            place = [at for at, who in enumerate(items.examples) if who == example][item]
            if modality == "audio":
                made.sounds.append(int(items.mask[place].sum()))
            elif modality in videos:
                made.videos.append(items.grids[place])
                made.steps_s.append(items.steps_s[place] or 1.0)
            else:
                made.images.append(items.grids[place])
        return made


def of_vlm(net: Any, ids: torch.Tensor, shown: Shown) -> torch.Tensor:
    """`[3, L]` for an example's ids `[L]` of a VLM that does not hear."""
    kinds = torch.zeros(1, len(ids), dtype=torch.int)
    for kind, start, length in shown.places:
        kinds[0, start : start + length] = kind
    found, _ = net.model.get_rope_index(
        ids[None],
        mm_token_type_ids=kinds,
        image_grid_thw=_grids(shown.images),
        video_grid_thw=_grids(shown.videos),
        second_per_grid_ts=torch.tensor(shown.steps_s) if shown.steps_s else None,
    )
    return found[:, 0]


def of_omni(net: Any, ids: torch.Tensor, shown: Shown) -> torch.Tensor:
    """`[3, L]` for an example's ids `[L]` of an omni model's thinker.

    Its function takes all videos for sounding ones or none. So an example that has both is cut
    before each video that is not like the one before; a part's positions go on behind the largest.
    """
    config = net.config
    starts = (ids[:-1] == config.vision_start_token_id).nonzero().squeeze(1).tolist()
    follows = {at: int(ids[at + 1]) for at in starts}
    mixed = {
        at: follows[at] == config.audio_start_token_id
        for at in starts
        if follows[at] in (config.audio_start_token_id, config.video_token_id)
    }
    runs = [(sounding, list(run)) for sounding, run in groupby(mixed, key=mixed.__getitem__)]
    cuts = [0, *(run[0] for _, run in runs[1:]), len(ids)]
    images, videos, sounds = 0, 0, 0
    parts: list[torch.Tensor] = []
    for number, (first, last) in enumerate(pairwise(cuts)):
        part = ids[first:last]
        inside = [follows[at] for at in starts if first <= at < last]
        pictures = inside.count(config.image_token_id)
        clips = len(runs[number][1]) if runs else 0
        heard = int((part == config.audio_start_token_id).sum())
        found, _ = net.get_rope_index(
            part[None],
            image_grid_thw=_grids(shown.images[images : images + pictures]),
            video_grid_thw=_grids(shown.videos[videos : videos + clips]),
            attention_mask=torch.ones_like(part)[None],
            use_audio_in_video=bool(runs) and runs[number][0],
            audio_seqlens=torch.tensor(shown.sounds[sounds : sounds + heard]),
            second_per_grids=torch.tensor(shown.steps_s[videos : videos + clips]),
        )
        before = parts[-1].max() + 1 if parts else 0
        parts.append(found[:, 0] + before)
        images, videos, sounds = images + pictures, videos + clips, sounds + heard
    return torch.cat(parts, 1)


def _grids(grids: list[Grid]) -> torch.Tensor | None:
    return torch.tensor(grids) if grids else None
