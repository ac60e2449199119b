"""Frozen encoders of one source in one place: what two of them have alike is held once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from affect_mllm.models.encoders.base import Encoder

PLAIN = (bool, int, float, str, tuple, type(None))


def share(encoders: Iterable[Encoder]) -> None:
    """Let later encoders use the modules of earlier ones, where they are the same in all respects.

    Encoders of one class and model may differ in their settings: at another picture size EVA-CLIP
    has other positions and the same blocks. Only frozen ones are joined: one module that trains
    would train for both.
    """
    before: list[Encoder] = []
    for encoder in encoders:
        for other in before if encoder.frozen else ():
            if type(other) is type(encoder) and other.name == encoder.name != "":
                with encoder.print.kept():
                    _join(encoder, other)
        if encoder.frozen:
            before.append(encoder)


def _join(mine: nn.Module, others: nn.Module) -> None:
    theirs = dict(others.named_children())
    for name, child in mine.named_children():
        twin = theirs.get(name)
        if twin is None or twin is child:
            continue
        if _alike(child, twin):
            setattr(mine, name, twin)
        else:
            _join(child, twin)
    for name, tensor in mine._parameters.items():
        if _equal(tensor, others._parameters.get(name)):
            mine._parameters[name] = others._parameters[name]


def _alike(one: nn.Module, two: nn.Module) -> bool:
    """Of one class, with equal tensors and plain settings, and so everything inside them."""
    if type(one) is not type(two) or _settings(one) != _settings(two):
        return False
    for ours, theirs in ((one._parameters, two._parameters), (one._buffers, two._buffers)):
        if ours.keys() != theirs.keys():
            return False
        if not all(_equal(tensor, theirs[name], none=True) for name, tensor in ours.items()):
            return False
    children = dict(two.named_children())
    if {name for name, _ in one.named_children()} != children.keys():
        return False
    return all(_alike(child, children[name]) for name, child in one.named_children())


def _settings(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if isinstance(value, PLAIN)}


def _equal(one: torch.Tensor | None, two: torch.Tensor | None, *, none: bool = False) -> bool:
    if one is None or two is None:
        return none and one is two
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    return one.is_meta or torch.equal(one, two)  # of a model without weights the shapes decide
