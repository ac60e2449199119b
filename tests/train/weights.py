"""Weights of two runs that have to be the same but for the order in which sums were rounded."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def assert_same(got: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Tensors of the same names, within a thousandth of each one's norm.

    Not element by element: where a gradient is nearly nothing Adam makes a step of its rounding.
    """
    assert got.keys() == expected.keys()
    apart = {name: _distance(got[name], tensor) for name, tensor in expected.items()}
    assert {name: each for name, each in apart.items() if not each <= 1e-3} == {}


def _distance(got: torch.Tensor, expected: torch.Tensor) -> float:
    assert got.shape == expected.shape
    off = (got.double() - expected.double()).norm().item()
    return off / expected.double().norm().item() if off else 0.0
