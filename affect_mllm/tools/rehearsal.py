"""A training step without memory: shapes alone run through the model, and are accounted for."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from affect_mllm.borders import Borders
from affect_mllm.models.encoders.base import States
from affect_mllm.models.llm import attention
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.precision import autocast_dtype, autocast_on_meta
from affect_mllm.models.vlm.vision_tower import VisionTower
from affect_mllm.tools.shapes import RealMasks
from affect_mllm.train.loss.token import chunked_loss_sum

CHUNK = 256  # positions whose logits exist at once, as of the token loss
LEAN = "affect_rehearsal"
Inputs = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Shape:
    """One micro-batch of one rank: rows × length, supervised tokens, items by modality.

    `items[modality]` is (items, states of the longest); `inputs[modality]` the shape of an item as
    its encoder reads it, if that runs in the step; `patches[modality]` the items' patch grids, if
    a VLM's tower does. `lengths` are the examples' own (none: each fills a row).
    """

    rows: int
    length: int
    supervised: int
    items: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    patches: Mapping[str, tuple[tuple[int, int, int], ...]] = field(default_factory=dict)
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()

    @property
    def borders(self) -> Borders:
        """Of the examples, as if padding stood behind them all."""
        borders = Borders.between(self.lengths or (self.length,) * self.rows)
        return borders.to(torch.device("meta"))


@dataclass(frozen=True)
class Account:
    """Bytes and FLOPs of one step on one device, everything on it.

    `activations` is the highest that everything but weights, gradients and optimizer came to
    while gradients were not yet there; `peak` the highest of all together.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    peak: int
    flops: int


def rehearse(
    model: AffectMLLM,
    shape: Shape,
    optimizer: torch.optim.Optimizer,
    *,
    autocast: torch.dtype | None = None,
    device: str = "cuda",
) -> Account:
    """Two steps of `model`, which is on the meta device; the second one counts.

    Products run in the precision of `autocast`, or of the weights without one. Attention is what
    the `device` would take: `eager` and `blocked` as they are; fused kernels, and SDPA, keep
    queries, keys, values, output and one number a query; SDPA with a mask also the mask as
    numbers, and keys and values repeated for every head.
    """
    lean = _Lean.on(model, device)
    flops: Any = FlopCounterMode(display=False)
    live = Live()
    flops.mod_tracker = _NoModules()
    highest = 0
    optimizer.state.clear()  # of another rehearsal, whose bytes this one would not see
    for _ in range(2):
        lean.flops = 0
        with flops, live:
            live.restart()
            inputs = _inputs(model, shape)  # a batch stays on the device for all of its step
            with autocast_on_meta(autocast):
                loss = _loss(model, shape, inputs)
            highest = live.highest
            with RealMasks():  # an encoder that trains took its states by their masks
                loss.backward()
            del loss, inputs
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    weights = sum(p.numel() * p.element_size() for p in [*model.parameters(), *model.buffers()])
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    states = sum(
        value.numel() * value.element_size()
        for kept in optimizer.state.values()
        for value in kept.values()
        if isinstance(value, torch.Tensor)
    )
    return Account(
        weights,
        sum(p.numel() * p.element_size() for p in trained),
        states,
        highest - states,
        weights + live.highest,
        flops.get_total_flops() + lean.flops,
    )


def _inputs(model: AffectMLLM, shape: Shape) -> dict[str, torch.Tensor]:
    """What the modalities' encoders read, where they run in the step."""
    inputs = {
        name: torch.zeros(shape.items[name][0], *item, device="meta", dtype=_wire(model, name))
        for name, item in shape.inputs.items()
    }
    for name in shape.patches:
        tower = model._encoder(model.branches[name])
        assert isinstance(tower, VisionTower)
        size = (*shape.items[name], tower.patch_length)
        inputs[name] = torch.zeros(size, device="meta", dtype=_wire(model, name))
    return inputs


def _wire(model: AffectMLLM, modality: str) -> torch.dtype:
    """What the modality's transform makes: bytes where its encoder normalises them."""
    transform = model._encoder(model.branches[modality]).transform
    return torch.float32 if getattr(transform, "normal", None) is None else torch.uint8


def _loss(model: AffectMLLM, shape: Shape, inputs: Inputs) -> torch.Tensor:
    llm = model.llm
    tokens = _tokens(model, shape, inputs)
    words = torch.zeros(shape.rows, shape.length, dtype=torch.long, device="meta")
    embeds = llm.embed(words)
    tokens = tokens[: shape.rows * shape.length]  # what is pooled behind them is in no prompt
    places = torch.arange(tokens.shape[0], device="meta")
    embeds = embeds.flatten(0, 1).index_put((places,), tokens.to(embeds.dtype))
    embeds = embeds.view(shape.rows, shape.length, -1)
    states = llm.hidden_states(embeds, words, words, borders=shape.borders)
    states = states.flatten(0, 1)[: shape.supervised]
    targets = torch.zeros(shape.supervised, dtype=torch.long, device="meta")
    weight = llm.net.get_output_embeddings().weight
    return chunked_loss_sum(states, weight, None, targets, chunk=CHUNK)


def _tokens(model: AffectMLLM, shape: Shape, inputs: Inputs) -> torch.Tensor:
    """All media tokens `[K, H]` of the micro-batch; what is absent runs one idle item, as there."""
    read = {
        name: _read(model, name, inputs[name], shape)
        if name in inputs
        else _states(model, name, *size)
        for name, size in shape.items.items()
    }
    absent = (name for name in model.branches if name not in read)
    idle = {n: _states(model, n, 1, model._compressor(n).frame_states) for n in absent}
    states = {name: model._mixed(name, given) for name, given in read.items()}
    idle = {name: model._mixed(name, given) for name, given in idle.items()}
    if model.fusion is not None and states:
        owners = {name: tuple(range(len(given.values))) for name, given in states.items()}
        states["multi"], _ = model._fuse(states, owners)
    made = [model._compress(name, given, None).tokens for name, given in states.items()]
    unused = [model._compress(name, given, None).tokens.sum() for name, given in idle.items()]
    parts = [tokens.flatten(0, 1).float() for tokens in made]
    none = torch.zeros(0, model.llm.hidden_size, device="meta")
    return torch.cat([*parts, none]) + 0 * sum(unused)


def _read(model: AffectMLLM, modality: str, values: torch.Tensor, shape: Shape) -> States:
    """What the modality's encoder makes of items of one shape."""
    encoder, mask = model._encoder(model.branches[modality]), torch.ones(values.shape[:2]).bool()
    if modality in shape.patches:
        return encoder(values, mask.to("meta"), shape.patches[modality])
    with RealMasks():
        states = encoder(values, mask)
    return States(states.values, states.mask.to("meta"))


def _states(model: AffectMLLM, modality: str, count: int, length: int) -> States:
    width = model._encoder(model.branches[modality]).hidden_size
    return States(
        torch.zeros(count, length, width, device="meta"),
        torch.ones(count, length, dtype=torch.bool, device="meta"),
    )


class Live(TorchDispatchMode):
    """Bytes of the storages that were made inside and still live, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.highest = 0
        self._known: dict[int, Any] = {}

    def restart(self) -> None:
        """Forget the highest, not what lives."""
        self.highest = self.bytes

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation and count what it made; whether a mask is whole, is answered by no."""
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return False
        result = func(*args, **(kwargs or {}))
        given = {
            leaf.untyped_storage()._cdata
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, torch.Tensor)
        }
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage(), given)
        return result

    def _count(self, storage: Any, given: set[int]) -> None:
        key = storage._cdata
        if key in self._known or key in given:  # a parameter's, or one that is counted
            return
        size = storage.nbytes()

        def gone(_: Any, key: int = key, size: int = size) -> None:
            self._known.pop(key, None)
            self.bytes -= size

        self._known[key] = weakref.ref(storage, gone)
        self.bytes += size
        self.highest = max(self.highest, self.bytes)


class _NoModules:
    """In the place of torch's tracker, whose hooks hold on to what a layer computes again."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class _Lean:
    """Attention as fused kernels account for it, where the device has one for these tensors."""

    def __init__(self, device: str, *, masked: bool) -> None:
        self.device, self.masked, self.flops = device, masked, 0

    @classmethod
    def on(cls, model: AffectMLLM, device: str) -> _Lean:
        """Where the model's attention is not `eager`, this in its place."""
        from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

        made = cls(device, masked=model.llm.attention == "sdpa")
        for name in (LEAN, attention.on_tower(LEAN)):
            AttentionInterface.register(name, made.attend)
            AttentionMaskInterface.register(name, lambda *_, **__: None)
        nets = [model.llm.net.get_decoder()]
        parts = [part for encoder in model.encoders.children() for part in encoder.children()]
        nets += [part for part in parts if isinstance(part, PreTrainedModel)]
        for net in nets:
            before = net.config._attn_implementation
            if before != "eager":
                flash = before.startswith("flash")
                net.config._attn_implementation = attention.on_tower(LEAN) if flash else LEAN
        return made

    def attend(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """transformers' attention interface: `[B, H, L, D]` → `[B, L, H, D]`."""
        lengths, dtype = [query.shape[2]] * query.shape[0], autocast_dtype(query.device)
        if "cu_seq_lens_q" in options:
            if attention.unfit(self.device, value):
                return attention.attend(module, query, key, value, attention_mask, **options)
            query, key = query.to(value.dtype), key.to(value.dtype)
            starts = options["cu_seq_lens_q"]
            lengths = next(each.lengths for each in options["borders"] if each.starts is starts)
        elif dtype is not None:
            query, key, value = (each.to(dtype) for each in (query, key, value))
        bias = None
        if self.masked and attention_mask is not None:
            bias = attention_mask.to(query.dtype)
            groups = query.shape[1] // key.shape[1]
            key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
        once = 4 * query.shape[1] * query.shape[3] * sum(length**2 for length in lengths)
        self.flops += once
        if query.requires_grad or key.requires_grad:
            self.flops += 5 * once // 2  # five products of the same size, one a recomputation
        return _Fused.apply(query, key, value, bias).transpose(1, 2), None


class _Fused(torch.autograd.Function):
    """Shapes of a fused attention: what it keeps, and what it makes."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor | None,
    ) -> torch.Tensor:
        """An output of the queries' shape."""
        output = torch.empty_like(query)
        sums = query.new_empty(query.shape[:3]).float()
        ctx.save_for_backward(query, key, value, output, sums, bias)
        return output

    @staticmethod
    def backward(ctx: Any, *_grads: torch.Tensor) -> Any:
        """Gradients of the inputs' shapes."""
        query, key, value, *_ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), None
