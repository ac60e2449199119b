"""The language model of a Hugging Face VLM: LoRA and logits as of any LLM, positions of its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from affect_mllm.models.indices import on_device
from affect_mllm.models.llm.attention import on_tower
from affect_mllm.models.llm.deepstack import by_places
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.vlm.vlm_family import family_of
from affect_mllm.types import Batch

IMAGE, VIDEO = 1, 2  # transformers' mm_token_type_ids; 0 is text


class VLMText(LanguageModel):
    """A VLM without its vision tower, which `take_tower` hands out once."""

    def _load(self, path: str, dtype: str) -> Any:
        from transformers import AutoModelForImageTextToText

        self.family = family_of(path)
        net = AutoModelForImageTextToText.from_pretrained(
            path, dtype=dtype, attn_implementation=self.attention, use_safetensors=True
        )
        # Taken out before LoRA is put in, whose names (`up_proj` …) the tower has too.
        self._towers = [net.model.visual]
        net.model.visual.config._attn_implementation = on_tower(self.attention)
        net.model.visual = None
        if self.family.deepstack:
            by_places(net.get_decoder())
        return net

    def take_tower(self) -> Any:
        """The vision tower, with its merger."""
        return self._towers.pop()

    def positions(self, batch: Batch, videos: Collection[str]) -> torch.Tensor:
        """Positions `[3, R, L]` by transformers' own `get_rope_index`, example by example.

        A video whose time step is not known counts one second a step, as there.
        """
        host = batch.on_host
        positions = torch.zeros(3, *host.segments.shape, dtype=torch.long)
        for number in range(len(host.sample_ids)):
            rows, places = (host.segments.cpu() == number).nonzero(as_tuple=True)
            ids = host.input_ids.cpu()[rows, places]
            positions[:, rows, places] = self._rope_index(ids, host, number, videos)
        return on_device(positions, batch.input_ids.device)

    def _rope_index(
        self, ids: torch.Tensor, batch: Batch, example: int, videos: Collection[str]
    ) -> torch.Tensor:
        """`[3, L]` for the one example's ids `[L]`."""
        spans = sorted((s for s in batch.spans if s.example == example), key=lambda s: s.start)
        kinds = torch.zeros(1, len(ids), dtype=torch.int)
        start = min((batch.segments[spans[0].row] == example).nonzero()).item() if spans else 0
        grids: dict[int, list[tuple[int, int, int]]] = {IMAGE: [], VIDEO: []}
        steps_s: list[float] = []
        for span in spans:
            kind = VIDEO if span.modality in videos else IMAGE
            begin = span.start - int(start)
            kinds[0, begin : begin + span.length] = kind
        for modality, item in dict.fromkeys((span.modality, span.item) for span in spans):
            kind = VIDEO if modality in videos else IMAGE
            items = batch.media[modality]
            place = [at for at, who in enumerate(items.examples) if who == example][item]
            grids[kind].append(items.grids[place])
            if kind == VIDEO:
                steps_s.append(items.steps_s[place] or 1.0)
        found, _ = self.net.model.get_rope_index(
            ids[None],
            mm_token_type_ids=kinds,
            image_grid_thw=torch.tensor(grids[IMAGE]) if grids[IMAGE] else None,
            video_grid_thw=torch.tensor(grids[VIDEO]) if grids[VIDEO] else None,
            second_per_grid_ts=torch.tensor(steps_s) if steps_s else None,
        )
        return found[:, 0]
