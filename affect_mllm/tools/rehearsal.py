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

from affect_mllm.models.encoders.base import States
from affect_mllm.models.llm.language_model import additive, block_causal_mask
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.precision import autocast_dtype, autocast_on_meta
from affect_mllm.models.vlm.vision_tower import VisionTower
from affect_mllm.tools.shapes import RealMasks
from affect_mllm.train.loss.token import chunked_loss_sum

CHUNK = 256  # positions whose logits exist at once, as of the token loss
LEAN = "affect_rehearsal"


@dataclass(frozen=True)
class Shape:
    """One micro-batch of one rank: rows × length, supervised tokens, items by modality.

    `items[modality]` is (items, states of the longest); `inputs[modality]` the shape of an item as
    its encoder reads it, if that runs in the step; `patches` are frames' patch grids whose tower
    runs in it.
    """

    rows: int
    length: int
    supervised: int
    items: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    patches: tuple[tuple[int, int, int], ...] = ()
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


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
) -> Account:
    """Two steps of `model`, which is on the meta device; the second one counts.

    Products run in the precision of `autocast`, or of the weights without one. Attention but for
    `eager` keeps what fused kernels keep: queries, keys, values, output and one number a query;
    SDPA with a mask also the mask as numbers, and keys and values repeated for every head.
    """
    lean = _Lean.on(model)
    flops, live = FlopCounterMode(display=False), Live()
    highest = 0
    for _ in range(2):
        lean.flops = 0
        with flops, live:
            live.restart()
            with autocast_on_meta(autocast):
                loss = _loss(model, shape)
            highest = live.highest
            with RealMasks():  # an encoder that trains took its states by their masks
                loss.backward()
            del loss
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


def _loss(model: AffectMLLM, shape: Shape) -> torch.Tensor:
    llm = model.llm
    if shape.patches:
        _run_tower(model, shape.patches)
    tokens = _tokens(model, shape)
    words = torch.zeros(shape.rows, shape.length, dtype=torch.long, device="meta")
    embeds = llm.embed(words)
    places = torch.arange(tokens.shape[0], device="meta")
    embeds = embeds.flatten(0, 1).index_put((places,), tokens.to(embeds.dtype))
    embeds = embeds.view(shape.rows, shape.length, -1)
    mask = block_causal_mask(words)
    if llm.attention == "eager":
        mask = additive(mask, embeds.dtype)
    output = llm.net.get_decoder()(
        inputs_embeds=embeds,
        attention_mask=mask,
        position_ids=words,
        use_cache=False,
    )
    states = output.last_hidden_state.flatten(0, 1)[: shape.supervised]
    targets = torch.zeros(shape.supervised, dtype=torch.long, device="meta")
    weight = llm.net.get_output_embeddings().weight
    return chunked_loss_sum(states, weight, None, targets, chunk=CHUNK)


def _tokens(model: AffectMLLM, shape: Shape) -> torch.Tensor:
    """All media tokens `[K, H]` of the micro-batch; what is absent runs one idle item, as there."""
    states = {
        name: _encoded(model, name, size[0], shape.inputs[name])
        if name in shape.inputs
        else _states(model, name, *size)
        for name, size in shape.items.items()
    }
    idle = {name: _states(model, name, 1, 1) for name in model.branches if name not in states}
    if model.fusion is not None and states:
        owners = {name: tuple(range(len(given.values))) for name, given in states.items()}
        states["multi"], _ = model._fuse(states, owners)
    made = [model._compress(name, given, None).tokens for name, given in states.items()]
    unused = [model._compress(name, given, None).tokens.sum() for name, given in idle.items()]
    parts = [tokens.flatten(0, 1).float() for tokens in made]
    none = torch.zeros(0, model.llm.hidden_size, device="meta")
    return torch.cat([*parts, none]) + 0 * sum(unused)


def _encoded(model: AffectMLLM, modality: str, count: int, item: tuple[int, ...]) -> States:
    """What the modality's encoder makes of `count` items of one shape."""
    values = torch.zeros(count, *item, device="meta")
    mask = torch.ones(count, item[0], dtype=torch.bool)
    with RealMasks():
        states = model._encoder(model.branches[modality])(values, mask)
    return States(states.values, states.mask.to("meta"))


def _states(model: AffectMLLM, modality: str, count: int, length: int) -> States:
    width = model._encoder(model.branches[modality]).hidden_size
    return States(
        torch.zeros(count, length, width, device="meta"),
        torch.ones(count, length, dtype=torch.bool, device="meta"),
    )


@torch.no_grad()
def _run_tower(model: AffectMLLM, grids: tuple[tuple[int, int, int], ...]) -> None:
    """The blocks of a native VLM's tower over patches of these grids."""
    for tower in model.encoders.children():
        if not isinstance(tower, VisionTower):
            continue
        count = sum(t * h * w for t, h, w in grids)
        hidden = tower.net.patch_embed(torch.zeros(count, tower.patch_length, device="meta"))
        heads = tower.net.blocks[0].attn.num_heads
        angles = torch.zeros(count, tower.hidden_size // heads, device="meta")
        borders = torch.tensor([0, *(h * w for t, h, w in grids for _ in range(t))]).cumsum(0)
        for block in tower.net.blocks:
            hidden = block(hidden, cu_seqlens=borders, position_embeddings=(angles, angles))
        for merger in tower.deep_mergers:
            merger(hidden)


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
        """Run the operation and count what it made."""
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


class _Lean:
    """Attention as fused kernels account for it, put in the place of a model's own."""

    def __init__(self, *, masked: bool) -> None:
        self.masked, self.flops = masked, 0

    @classmethod
    def on(cls, model: AffectMLLM) -> _Lean:
        """Where the model's attention is not `eager`, this in its place."""
        from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

        made = cls(masked=model.llm.attention == "sdpa")
        AttentionInterface.register(LEAN, made.attend)
        AttentionMaskInterface.register(LEAN, lambda *_, **__: None)
        nets = [model.llm.net.get_decoder()]
        parts = [part for encoder in model.encoders.children() for part in encoder.children()]
        nets += [part for part in parts if isinstance(part, PreTrainedModel)]
        for net in nets:
            if net.config._attn_implementation != "eager":
                net.config._attn_implementation = LEAN
        return made

    def attend(
        self,
        _module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **_options: Any,
    ) -> tuple[torch.Tensor, None]:
        """transformers' attention interface: `[B, H, L, D]` → `[B, L, H, D]`."""
        bias, dtype = None, autocast_dtype(query.device)
        if dtype is not None:
            query, key, value = (each.to(dtype) for each in (query, key, value))
        if self.masked and attention_mask is not None:
            bias = attention_mask.to(query.dtype)
            groups = query.shape[1] // key.shape[1]
            key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
        once = 4 * query.shape[0] * query.shape[1] * query.shape[2] * key.shape[2] * query.shape[3]
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
