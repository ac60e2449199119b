"""Autocast as the model asks about it, and one for the meta device, for which torch has none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

_ON_META: ContextVar[torch.dtype | None] = ContextVar("autocast_on_meta", default=None)

# Of the lists of CUDA's autocast (torch's documentation, "Autocast Op Reference"), what models use.
_PRODUCTS = ("matmul", "mm", "bmm", "addmm", "addbmm", "baddbmm")
_SENSITIVE = (
    "pow",
    "rsqrt",
    "exp",
    "log",
    "sum",
    "prod",
    "cumsum",
    "norm",
    "softmax",
    "log_softmax",
)
_OWNERS = (torch, torch.Tensor)
_LOWER = frozenset(
    {
        *(getattr(owner, name) for owner in _OWNERS for name in _PRODUCTS),
        *(getattr(owner, f"conv{n}d") for owner in (torch, functional) for n in (1, 2, 3)),
        torch.Tensor.__matmul__,
        torch.Tensor.__rmatmul__,
        torch.einsum,
        functional.linear,
        functional.scaled_dot_product_attention,
    }
)
_FLOAT32 = frozenset(
    {
        *(getattr(owner, name) for owner in _OWNERS for name in _SENSITIVE),
        torch.Tensor.__pow__,
        functional.layer_norm,
        functional.group_norm,
        functional.softmax,
        functional.log_softmax,
    }
)


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The precision that products on `device` are computed in now; None: that of their factors."""
    if device.type == "meta":
        return _ON_META.get()
    enabled = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if enabled else None


def as_factors(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """A linear layer's input, weight and bias in the one precision that it is computed in now."""
    dtype = autocast_dtype(states.device)
    if dtype is not None:
        weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
    return states.to(weight.dtype), weight, bias


def own_precision(device: torch.device) -> AbstractContextManager[object]:
    """Inside it, products are computed in the precision of their factors."""
    if device.type == "meta":
        return _told(None)
    return torch.autocast(device.type, enabled=False)


@contextmanager
def autocast_on_meta(dtype: torch.dtype | None, *, again: bool = False) -> Iterator[None]:
    """Inside it, shapes on the meta device get the types that CUDA's autocast gives; None: none.

    `again`: for a layer that a backward pass computes again; no cast of a weight outlives it.
    """
    with _told(dtype), nullcontext() if dtype is None else _Autocast(keeps=not again):
        yield


@contextmanager
def _told(dtype: torch.dtype | None) -> Iterator[None]:
    token = _ON_META.set(dtype)
    try:
        yield
    finally:
        _ON_META.reset(token)


class _Autocast(TorchFunctionMode):
    """Casts floating arguments of the listed functions; autograd sees the casts, as with torch's.

    A weight that trains is cast once and then taken from there, as by torch's cache. What one
    function is made of is not taken apart: `F.multi_head_attention_forward` runs as it is.
    """

    def __init__(self, *, keeps: bool) -> None:
        super().__init__()
        self.keeps = keeps
        self._casts: dict[torch.Tensor, torch.Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run `func` on what autocast would give it."""
        kwargs, lower = kwargs or {}, _ON_META.get()
        if lower is not None and func in _LOWER:
            lowered = partial(self._lowered, dtype=lower)
            args, kwargs = tree_map_only(torch.Tensor, lowered, (args, kwargs))
        elif lower is not None and func in _FLOAT32:
            args, kwargs = tree_map_only(torch.Tensor, _raised, (args, kwargs))
        return func(*args, **kwargs)

    def _lowered(self, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if not _is_cast(tensor) or tensor.dtype == dtype:
            return tensor
        if not (self.keeps and tensor.is_leaf and tensor.requires_grad):
            return tensor.to(dtype)
        if tensor not in self._casts:
            self._casts[tensor] = tensor.to(dtype)
        return self._casts[tensor]


def _raised(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if _is_cast(tensor) else tensor


def _is_cast(tensor: torch.Tensor) -> bool:
    return tensor.is_meta and tensor.is_floating_point() and tensor.dtype != torch.float64
