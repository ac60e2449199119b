"""Modules that look at masks and lengths, run on shapes: numbers that decide a shape stay real."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

META = torch.device("meta")
INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class RealMasks(TorchDispatchMode):
    """Inside it, integers and booleans are made on the CPU, with their values, and floats on meta.

    An encoder picks the real frames by their mask and cuts a sound by its length: on meta alone
    neither has a shape. Where both meet, what is on the CPU counts by its shape, but for indices.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation where its result belongs."""
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        on_meta = [tensor for tensor in tensors if tensor.device == META]
        if not on_meta and kwargs.get("device") == META and _is_whole(func, args, kwargs):
            kwargs["device"] = torch.device("cpu")
        elif on_meta and func._schema.name not in INDEXED:
            args, kwargs = tree_map_only(torch.Tensor, lambda t: t.to(META), (args, kwargs))
        return func(*args, **kwargs)


def _is_whole(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the result of an operation that makes a tensor is of whole numbers."""
    dtype = kwargs.get("dtype")
    if dtype is not None:
        return not dtype.is_floating_point
    leaves = tree_leaves(args)
    if func._schema.name == "aten::_to_copy":
        return not leaves[0].is_floating_point()
    return func._schema.name in ("aten::arange", "aten::full") and not any(
        isinstance(leaf, float) for leaf in leaves
    )
