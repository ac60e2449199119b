"""A model's encoders by themselves: one clip to its states, with nothing of the LLM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from affect_mllm import config
from affect_mllm.models.encoders.base import Encoder
from affect_mllm.models.encoders.fingerprint import Remember
from affect_mllm.models.encoders.sharing import share
from affect_mllm.models.spans import Limit, Limits
from affect_mllm.types import ConfigError

FAST = True  # states for the cache are computed in bfloat16 unless the model says otherwise


@dataclass(frozen=True)
class ClipEncoder:
    """Named encoders; `branches` says which one a modality has. `fast`: compute in bfloat16."""

    encoders: Mapping[str, Encoder]
    branches: Mapping[str, str]
    fast: bool = FAST

    @staticmethod
    def of_config(
        node: Mapping[str, Any], device: torch.device, *, plugins: Sequence[str] = ()
    ) -> ClipEncoder:
        """The encoders of a `model` node, without building its LLM.

        ConfigError for a model whose encoders are not parts of their own, as in a native VLM.
        """
        if "encoders" not in node or "branches" not in node:
            raise ConfigError(
                "model",
                "no `encoders` of its own",
                expected="a model whose encoders' states can be cached",
                fix="train it with data.cache_dir=null",
            )
        built: dict[str, Encoder] = {
            name: config.build(each, kind=Encoder, plugins=plugins)
            for name, each in node["encoders"].items()
        }
        share(built.values())
        moved = {name: encoder.to(device) for name, encoder in built.items()}
        return ClipEncoder(moved, dict(node["branches"]), bool(node.get("fast_encoders", FAST)))

    @torch.no_grad()
    def __call__(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """One clip's encoder inputs `[T, …]` by modality → its states `[S, D]`, for caching."""
        states = {}
        for name, array in arrays.items():
            encoder = self.encoders[self.branches[name]]
            device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
            given = torch.from_numpy(np.ascontiguousarray(array)).unsqueeze(0).to(device)
            values = given if given.dtype == torch.uint8 else given.float()
            mask = torch.ones(values.shape[:2], dtype=torch.bool, device=device)
            with torch.autocast(device.type, torch.bfloat16, enabled=self.fast):
                encoded = encoder(values, mask)
            states[name] = encoded.values[0][encoded.mask[0]].float().cpu().numpy()
        return states

    def transforms(self) -> dict[str, Callable[..., Any]]:
        """The CPU preprocessing of each modality."""
        return {name: self.encoders[branch].transform for name, branch in self.branches.items()}

    def limits(self) -> Limits:
        """What the encoders can do with."""
        made = {name: self.encoders[branch] for name, branch in self.branches.items()}
        return Limits({name: Limit(e.state_count(), e.least_steps()) for name, e in made.items()})

    def positions(self) -> dict[str, Callable[[Any], int]]:
        """How much each modality's encoder computes of an item."""
        return {name: self.encoders[branch].positions() for name, branch in self.branches.items()}

    def hold(self, *, bf16: bool) -> None:
        """Keep frozen weights in what all passes compute in, if that is bf16 (`hold_in`)."""
        for encoder in self.encoders.values() if bf16 else ():
            encoder.hold_in(torch.bfloat16)

    def fingerprint(self, remember: Remember | None = None) -> dict[str, str]:
        """Each modality's encoder by hash: what a feature cache is addressed by.

        `remember`: see `Encoder.fingerprint`.
        """
        made = {name: encoder.fingerprint(remember) for name, encoder in self.encoders.items()}
        kind = "bf16" if self.fast else "fp32"
        return {name: f"{kind} {made[branch]}" for name, branch in self.branches.items()}
