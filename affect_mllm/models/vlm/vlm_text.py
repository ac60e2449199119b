"""The language model of a Hugging Face VLM: LoRA and logits as of any LLM, positions of its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from affect_mllm.models.indices import on_device
from affect_mllm.models.llm.attention import MASKED, on_tower
from affect_mllm.models.llm.deepstack import by_places
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.vlm.rope import Shown, of_omni, of_vlm
from affect_mllm.models.vlm.slow_steps import Kept, expanded
from affect_mllm.models.vlm.vlm_family import check_ids, family_of
from affect_mllm.types import Batch, ConfigError

TOWERS = ("visual", "audio_tower")


class VLMText(LanguageModel):
    """A VLM without its towers, which `take_tower` hands out once; of an omni model the thinker."""

    def _load(self, path: str, dtype: str) -> Any:
        from transformers import AutoModelForImageTextToText

        self.family, config = family_of(path)
        if self.family.hearing and self.tokenizer is not None:
            check_ids(path, config, self.tokenizer)
        if not self.family.packs:
            self.packs, self.attention = False, _masked(self.attention, self.family.name)
        net: Any = AutoModelForImageTextToText.from_pretrained(
            path,
            config=config,
            dtype=dtype,
            attn_implementation=self.attention,
            use_safetensors=True,
        )
        # Taken out before LoRA is put in, whose names (`up_proj`, `q_proj` …) the towers have too.
        self._towers = {}
        for name in TOWERS:
            tower = getattr(net.model, name, None)
            if tower is not None:
                tower.config._attn_implementation = on_tower(self.attention)
                self._towers[name] = tower
                setattr(net.model, name, None)
        if self.family.deepstack:
            by_places(net.get_decoder())
        return net

    def take_tower(self, name: str = "visual") -> Any:
        """The vision tower with its merger, or the audio tower with its tail."""
        return self._towers.pop(name)

    def positions(
        self, batch: Batch, videos: Collection[str], kept: Kept | None = None
    ) -> torch.Tensor:
        """Positions `[3, R, L]` by transformers' own `get_rope_index`, example by example.

        They are float32 where that counts parts of a position. A video whose time step is not
        known counts one second a step, as there. `kept`: of videos whose tokens were pooled.
        """
        host = batch.on_host
        found = []
        for number in range(len(host.sample_ids)):
            mine = host.segments.cpu() == number
            shared = mine if host.branches is None else mine & (host.branches.cpu() < 0)
            rows, places = shared.nonzero(as_tuple=True)
            ids = host.input_ids.cpu()[rows, places]
            shown = Shown.of(host, number, int(places[0]) if len(places) else 0, videos)
            rope = of_omni if self.family.hearing else of_vlm
            if kept is None:
                each = rope(self.net, ids, shown)
            else:
                whole, shown, at = expanded(ids, shown, kept, stamped=self.family.stamped)
                each = rope(self.net, whole, shown)[:, at]
            found.append((rows, places, each))
            rows, places = (mine & ~shared).nonzero(as_tuple=True)  # of answers: words alone
            behind = host.position_ids.cpu()[rows, places] - each.shape[1]
            found.append((rows, places, each[:, -1:] + 1 + behind.to(each.dtype)))
        dtype = found[0][2].dtype if found else torch.long
        positions = torch.zeros(3, *host.segments.shape, dtype=dtype)
        for rows, places, each in found:
            positions[:, rows, places] = each
        return on_device(positions, batch.input_ids.device)


def _masked(attention: str, name: str) -> str:
    """SDPA where nothing else was asked for. ConfigError for attention without a mask."""
    if attention in MASKED:
        return attention
    if attention != "packed_auto":
        raise ConfigError(
            "model.attention",
            f"{attention.removeprefix('packed_')}, which lays all examples in one row",
            expected=f"one row an example, for {name}'s linear attention",
            fix="model.attention=sdpa",
        )
    return "sdpa"
