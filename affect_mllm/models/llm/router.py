"""What the routers of an LLM with experts decide, for a loss on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def routers(decoder: nn.Module) -> list[Any]:
    """The routers of a decoder of transformers, whose first output is the logits of experts."""
    return [module for module in decoder.modules() if type(module).__name__.endswith("TopKRouter")]


@contextmanager
def routed(decoder: nn.Module, found: list[torch.Tensor] | None) -> Iterator[None]:
    """Inside, each router's logits `[T, E]` are appended to `found`, layer by layer; None: none."""

    def keep(_router: nn.Module, _args: Any, output: Any) -> None:
        assert found is not None
        found.append(output[0])

    given = [] if found is None else routers(decoder)
    handles = [router.register_forward_hook(keep) for router in given]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
