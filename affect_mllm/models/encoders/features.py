"""Pre-extracted features: encoder states that a manifest's `features` files hold already."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import PositiveInt

from affect_mllm.models.encoders.base import Encoder, States
from affect_mllm.models.spans import StatesPerStep
from affect_mllm.types import DataError


class FeatureArray:
    """What a feature file holds, as states: `[width]` or `[S, width]` to float32 `[S, width]`."""

    def __init__(self, width: int) -> None:
        """`width`: of one state."""
        self.width = width

    def __call__(self, array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """float32 [S, width]. DataError for another shape or for values that are not finite."""
        states = np.atleast_2d(np.asarray(array))
        if states.ndim != 2 or states.shape[1] != self.width or not len(states):
            raise DataError(
                "features",
                f"shape {np.shape(array)}",
                expected=f"[{self.width}] or [S, {self.width}]",
            )
        if not np.isfinite(states).all():
            raise DataError("features", "values that are not finite", expected="finite numbers")
        return states.astype(np.float32, copy=False)


class FeatureEncoder(Encoder):
    """No network: the files' states `[N, S, hidden_size]` are the states.

    For encoders whose weights are not to be had (Emotion-LLaMA's MAE and VideoMAE), or to share
    extracted features instead of faces.
    """

    def __init__(self, hidden_size: PositiveInt) -> None:
        super().__init__(transform=FeatureArray(hidden_size))
        self.hidden_size = hidden_size

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> States:
        """The values, zeros where masked."""
        return States(values.masked_fill(~mask.unsqueeze(-1), 0), mask)

    def positions(self) -> StatesPerStep:
        """None: there is nothing to compute."""
        return StatesPerStep(0)

    def extra_repr(self) -> str:
        """The settings that change the states."""
        return f"hidden_size={self.hidden_size}"
