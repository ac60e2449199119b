"""A model "on CUDA" without a GPU: shapes, dtypes and devices are true, numbers there are none.

What mixes devices, or has to wait for numbers of the device, raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from affect_mllm.models.llm import attention

CUDA = torch.device("cuda", 0)


class Machine(FakeTensorMode):
    """A host whose tensors are real, and a GPU whose are fake, from their copy there on."""

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = tree_leaves((args, kwargs or {}))
        there = any(isinstance(each, FakeTensor) for each in given)
        to = (kwargs or {}).get("device") or "cpu"
        if there or torch.device(to).type != "cpu":
            return super().__torch_dispatch__(func, types, args, kwargs)
        return func(*args, **(kwargs or {}))


@contextmanager
def gpu(monkeypatch, capability: tuple[int, int] = (8, 0)) -> Iterator[None]:
    """Inside, models are built as on a machine with such a GPU and without flash-attn."""
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
        find = attention.importlib.util.find_spec
        patch.setattr(
            attention.importlib.util,
            "find_spec",
            lambda name, *more: None if name.startswith("flash_attn") else find(name, *more),
        )
        yield


def pinnable(monkeypatch) -> None:
    """Pinning, of which FakeTensorMode knows nothing, gives the tensor itself."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor, *_: tensor)


def moved(module: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """`module` with its weights on the GPU that is not there; what was tied still is."""
    known: dict[int, Any] = {}

    def fake(tensor: torch.Tensor) -> Any:
        if id(tensor) not in known:
            with mode:
                made: Any = torch.empty(tensor.shape, dtype=tensor.dtype, device=CUDA)
                if isinstance(tensor, nn.Parameter):
                    made = nn.Parameter(made, requires_grad=tensor.requires_grad)
            known[id(tensor)] = made
        return known[id(tensor)]

    for part in module.modules():
        for kind in (part._parameters, part._buffers):
            for name, tensor in kind.items():
                if tensor is not None:
                    kind[name] = fake(tensor)
    return module


def on_gpu(value: Any, mode: FakeTensorMode) -> Any:
    """Tensors in `value` there; a tensor that stands twice in it is one there, too."""
    known: dict[int, torch.Tensor] = {}

    def one(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in known:
            with mode:
                known[id(tensor)] = torch.empty(tensor.shape, dtype=tensor.dtype, device=CUDA)
        return known[id(tensor)]

    return tree_map_only(torch.Tensor, one, value)


def backward(loss: torch.Tensor) -> None:
    """`loss.backward()` node by node, without torch's engine, which asks a driver for streams.

    Every node's own kernels run, in an order in which its gradients are complete; hooks do not.
    """
    assert loss.grad_fn is not None
    order = _ordered(loss.grad_fn)
    given: dict[Any, list[Any]] = {loss.grad_fn: [torch.ones_like(loss)]}
    with torch.no_grad():
        for node in order:
            grads = given.pop(node, None)
            if grads is None:
                continue
            for (following, place), grad in zip(_edges(node), _passed(node, grads), strict=True):
                if following is None or grad is None:
                    continue
                told = following._input_metadata
                slots = given.setdefault(following, [None] * len(told))
                grad = grad.sum_to_size(told[place].shape).to(told[place].dtype)
                slots[place] = grad if slots[place] is None else slots[place] + grad


def _ordered(root: Any) -> list[Any]:
    """Nodes, each after all that lead to it."""
    found: dict[Any, None] = {}
    stack = [(root, iter(_edges(root)))]
    begun = {root}
    while stack:
        node, edges = stack[-1]
        for following, _ in edges:
            if following is not None and following not in begun:
                begun.add(following)
                stack.append((following, iter(_edges(following))))
                break
        else:
            found[node] = None
            stack.pop()
    return list(found)[::-1]


def _edges(node: Any) -> list[tuple[Any, int]]:
    """Where a node's gradients go: of a function in Python, those of what needs one."""
    edges = list(node.next_functions)
    return edges if callable(node) else [edge for edge in edges if edge[0] is not None]


def _passed(node: Any, grads: list[Any]) -> list[Any]:
    """The gradients that a node makes of those it gets."""
    if callable(node):
        made = node(*grads)
        return list(made) if isinstance(made, tuple) else [made]
    whole = [
        torch.zeros(told.shape, dtype=told.dtype, device=CUDA) if grad is None else grad
        for grad, told in zip(grads, node._input_metadata, strict=True)
    ]
    made = node.apply(*whole)
    made = made if isinstance(made, tuple) else (made,)
    return [grad for grad, needed in zip(made, node.needs_input_grad, strict=True) if needed]


class Seen(TorchDispatchMode):
    """The operations inside, and the most elements that one of them made."""

    def __init__(self, kind: type[torch.Tensor] = FakeTensor) -> None:
        super().__init__()
        self.kind, self.names, self.most = kind, set[str](), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.names.add(func._schema.name)
        made = [each for each in tree_leaves(result) if isinstance(each, self.kind)]
        self.most = max([self.most, *(each.numel() for each in made)])
        return result
