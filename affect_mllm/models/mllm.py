"""AffectMLLM: encoders → mix of layers → pre-fusion ‖ compressors → splice → LLM, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from affect_mllm.models.clip_encoder import FAST, ClipEncoder
from affect_mllm.models.compressor.base import Compressed, Compressor
from affect_mllm.models.compressor.hybrid import HybridCompressor
from affect_mllm.models.encoders.base import Encoder, States
from affect_mllm.models.encoders.fingerprint import Remember
from affect_mllm.models.encoders.sharing import share
from affect_mllm.models.fusion.base import Fusion, gather, one_each
from affect_mllm.models.hidden import Hidden, Media, Tokens
from affect_mllm.models.instruction import instruction_means
from affect_mllm.models.layer_mix import LayerMix
from affect_mllm.models.llm.deepstack import Deep
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.llm.prompt import Prompt
from affect_mllm.models.llm.router import routed
from affect_mllm.models.ragged import known
from affect_mllm.models.spans import Limits, TokenRule
from affect_mllm.models.splice import splice
from affect_mllm.types import Batch, ConfigError, MediaBatch, SpanRule

T = TypeVar("T")
Gates = dict[str, dict[int, dict[str, float]]]  # modality → example → expert → weight


class AffectMLLM(nn.Module):
    """Named encoders, an optional pre-fusion, compressors and an LLM.

    `branches` maps a modality to the name of its encoder, so that faces, frames and images can
    share one (as in AffectGPT). Its compressor has the modality's own name, or else the
    encoder's. `fusion` reads the states of every encoder and adds the modality `multi`, which has
    a compressor of that name. An encoder that gives several layers (`mix`) has a `LayerMix`,
    after which all of this sees one.
    `fast_encoders` lets frozen encoders compute their cached states in bfloat16.
    `encoders` are named as one likes, `compressors` by modality or encoder, and `llm` reads what
    they make.
    """

    def __init__(
        self,
        *,
        encoders: Mapping[str, Encoder],
        branches: Mapping[str, str],
        compressors: Mapping[str, Callable[..., Compressor]],
        llm: LanguageModel,
        fusion: Callable[..., Fusion] | None = None,
        fast_encoders: bool = FAST,
    ) -> None:
        super().__init__()
        _check_names(encoders, branches, compressors, fused=fusion is not None)
        share(encoders.values())
        self.encoders = nn.ModuleDict(dict(encoders))
        self.branches = dict(branches)
        self.fast_encoders = fast_encoders
        self.llm = llm
        sizes = {name: encoder.layer_size for name, encoder in encoders.items()}
        self.mixes = nn.ModuleDict(
            {n: LayerMix(e.mixed, e.layer_size) for n, e in encoders.items() if e.mixed}
        )
        self.fusion = fusion(sizes) if fusion is not None else None
        sizes = {**sizes, **{name: sizes[branch] for name, branch in branches.items()}}
        if self.fusion is not None:
            sizes["multi"] = self.fusion.hidden_size
        self.heads = nn.ModuleDict()  # of losses; a stage puts its own here
        self.compressors = nn.ModuleDict(
            {
                name: make(sizes[name], llm.hidden_size, output_rms=llm.embedding_rms)
                for name, make in compressors.items()
            }
        )

    def forward(self, batch: Batch, objective: Callable[[AffectMLLM, Batch, Hidden], T]) -> T:
        """What `objective` makes of the hidden states, media tokens and gates of `batch`.

        It runs in here because ZeRO-3 and FSDP only see the parts of a model that are used inside
        its forward pass; the losses use the LLM's head and heads of their own.
        """
        names = self.branches if self.training else (*batch.media, *batch.idle)
        media = self._media(batch, names)
        router: list[torch.Tensor] | None = [] if getattr(objective, "reads_router", 0) else None
        states = partial(self._hidden, batch, media, router)
        hidden = Hidden(
            states, media.tokens, media.gates, media.idle, () if router is None else router
        )
        return objective(self, batch, hidden)

    def _hidden(
        self, batch: Batch, media: Media, router: list[torch.Tensor] | None
    ) -> torch.Tensor:
        """The LLM's last hidden states `[R, L, H]` of the text with its media."""
        embeds = splice(self.llm.embed(batch.input_ids, batch.segments), batch.spans, media.tokens)
        with routed(self.llm.net.get_decoder(), router):
            return self.llm.hidden_states(
                embeds + media.idle,
                batch.segments,
                self.positions(batch),
                borders=batch.borders,
                deep=Deep.of(batch, media.deep),
                branches=batch.branches,
            )

    def media_tokens(self, batch: Batch) -> tuple[Tokens, dict[str, torch.Tensor]]:
        """The LLM tokens of every media item, `multi` included, and the gates `[N, E]`."""
        media = self._media(batch, tuple(batch.media))
        return media.tokens, media.gates

    def prompt(self, batch: Batch) -> tuple[Prompt, Media]:
        """What the LLM reads of prompts of one row each, padded on the left, and their media."""
        media = self._media(batch, tuple(batch.media))
        embeds = splice(self.llm.embed(batch.input_ids), batch.spans, media.tokens)
        positions, real = self.positions(batch), batch.segments >= 0
        return Prompt(embeds, positions, real, Deep.of(batch, media.deep)).padded_left(), media

    def _media(self, batch: Batch, names: Collection[str]) -> Media:
        """`media_tokens`, and zero from one idle item of every other modality in `names`.

        So every rank runs the same modules, equally often and in one order, as ZeRO and FSDP need
        it, and a batch of words alone has a gradient: idle items run where real ones would.
        """
        states = {}
        for name in (name for name in self.branches if name in names):
            items = batch.media.get(name, batch.idle.get(name))
            read = self._idle(name) if items is None else self._seen(batch, name, items)
            states[name] = self._mixed(name, read)
        owners = {name: items.examples for name, items in batch.media.items()}
        if self.fusion is not None and states:
            real = {name: states[name] for name in states if name in owners}
            alone = dict.fromkeys(states, (0,))
            states["multi"], fused = self._fuse(real or states, owners or alone)
            owners |= {"multi": fused} if real else {}
        text = self._instructions(batch)
        tokens: Tokens = {}
        gates: dict[str, torch.Tensor] = {}
        deep: dict[int, Tokens] = {}
        idle = torch.zeros((), device=self.llm.device)
        for name, item_states in states.items():
            if name not in owners:
                unused = (self._compress(name, item_states, None).tokens, *item_states.deep)
                idle = idle + 0 * sum(each.sum() for each in unused)
                continue
            asked = None if text is None else text[list(owners[name])]
            compressed = self._compress(name, item_states, asked)
            real = compressed.items(self._known(batch, name, item_states))
            tokens[name] = _by_example(owners[name], self.shortened(name, real, batch))
            for layer, features in enumerate(item_states.deep):
                parts = self.shortened(name, features.split([len(each) for each in real]), batch)
                deep.setdefault(layer, {})[name] = _by_example(owners[name], parts)
            if compressed.gate is not None:
                gates[name] = compressed.gate
        return Media(tokens, gates, tuple(deep.values()), idle)

    def shortened(
        self, name: str, items: Sequence[torch.Tensor], batch: Batch
    ) -> Sequence[torch.Tensor]:
        """What of each item's tokens `[K, H]` goes into the prompt; here, all."""
        del name, batch
        return items

    def _seen(self, batch: Batch, name: str, items: MediaBatch) -> States:
        """The states of one modality's items; of their mask the host has a copy."""
        host = batch.on_host
        mask = {**host.idle, **host.media}[name].mask
        with known(items.mask, mask):
            return self.encode(name, items)

    def _mixed(self, modality: str, states: States) -> States:
        """One layer's width of states, where their encoder gives several layers."""
        branch = self.branches[modality]
        if branch not in self.mixes:
            return states
        return states._replace(values=self.mixes[branch](states.values))

    def _known(self, batch: Batch, name: str, states: States) -> torch.Tensor | None:
        """Which of an item's tokens are real, on the CPU; None where only its encoder can say."""
        if name == "multi":
            mask = torch.ones(states.mask.shape, dtype=torch.bool)
        else:
            items = batch.on_host.media[name]
            encoder = self._encoder(self.branches[name])
            mask = items.mask if items.encoded else encoder.state_mask(items.mask)
        return None if mask is None else self._compressor(name).token_mask(mask)

    def _instructions(self, batch: Batch) -> torch.Tensor | None:
        """What each example is asked `[B, H]`, where a gate wants to know."""
        if not any(self._compressor(name).reads_text for name in self.modalities):
            return None
        return instruction_means(self.llm.embed(batch.input_ids), batch)

    def _compress(self, name: str, states: States, text: torch.Tensor | None) -> Compressed:
        compressor = self._compressor(name)
        if compressor.reads_text and text is None:  # an idle item has no instruction
            text = states.values.new_zeros(len(states.values), self.llm.hidden_size)
        return compressor(states.values, states.mask, text)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What has tokens in a sequence."""
        return (*self.branches, *(() if self.fusion is None else ("multi",)))

    def positions(self, batch: Batch) -> torch.Tensor:
        """What the LLM counts positions by: `[R, L]`, or `[3, R, L]` of a VLM."""
        return batch.position_ids

    def encode(self, modality: str, items: MediaBatch) -> States:
        """Encoder states of one modality's items; items already encoded pass through."""
        if items.encoded:
            return States(items.values.float(), items.mask)
        encoder = self.encoders[self.branches[modality]]
        return encoder(items.values, items.mask)

    def clip_encoder(self) -> ClipEncoder:
        """The encoders by themselves, for the feature cache."""
        return ClipEncoder(
            {name: self._encoder(name) for name in self.encoders}, self.branches, self.fast_encoders
        )

    def encode_clip(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """One clip's encoder inputs `[T, …]` by modality → its states `[S, D]`, for caching."""
        return self.clip_encoder()(arrays)

    def transforms(self) -> dict[str, Callable[..., Any]]:
        """The CPU preprocessing of each modality."""
        return self.clip_encoder().transforms()

    def fingerprint(self, remember: Remember | None = None) -> dict[str, str]:
        """Each modality's encoder by hash: what a feature cache is addressed by."""
        return self.clip_encoder().fingerprint(remember)

    def limits(self) -> Limits:
        """What encoders, compressors and fusion can do with."""
        each = {
            name: replace(limit, multiple=made.frame_states, most=made.most_states)
            for name, limit in self.clip_encoder().limits().each.items()
            for made in [self._compressor(name)]
        }
        return Limits(each, 0 if self.fusion is None else self.fusion.most_states)

    def encoder_positions(self) -> dict[str, Callable[[Any], int]]:
        """How much each modality's encoder computes of an item, for plans of a step."""
        return self.clip_encoder().positions()

    def span_lengths(self) -> dict[str, SpanRule]:
        """Tokens that each modality takes in the sequence: a number, or a rule from the item."""
        return {name: self._span_rule(name) for name in self.modalities}

    def _span_rule(self, modality: str) -> SpanRule:
        compressor = self._compressor(modality)
        if compressor.num_tokens:
            return compressor.num_tokens
        if modality == "multi":
            assert self.fusion is not None
            return compressor.token_count()(self.fusion.num_states)
        encoder = self._encoder(self.branches[modality])
        return TokenRule(encoder.state_count(), encoder.hidden_size, compressor.token_count())

    def use_experts(self, names: Sequence[str]) -> None:
        """Restrict every hybrid compressor's gate to these experts."""
        for module in self.compressors.children():
            if isinstance(module, HybridCompressor):
                module.use(names)

    def gate_names(self, modality: str) -> tuple[str, ...]:
        """The experts behind the gate columns of `modality`."""
        module = self._compressor(modality)
        return module.names if isinstance(module, HybridCompressor) else ()

    def generate(self, batch: Batch, **how: Any) -> tuple[list[str], Gates]:
        """Greedy answers to prompts of a row each (`LanguageModel.answers`), and their gates."""
        answers, _, _, gates = self.written(batch, **how)
        return answers, gates

    @torch.no_grad()
    def written(self, batch: Batch, **how: Any) -> tuple[list[str], list[bool], list[int], Gates]:
        """Answers, which of them the limit of tokens cut off, how many each has, and gates.

        `how` is `LanguageModel.written`'s: max_new_tokens, end_id, chooser, listener.
        """
        prompt, media = self.prompt(batch)
        answers, cut_off, counts = self.llm.written(prompt, **how)
        owners = {name: items.examples for name, items in batch.media.items()}
        owners["multi"] = tuple(media.tokens.get("multi", ()))
        gates = {n: self._named(n, owners[n], weights) for n, weights in media.gates.items()}
        return answers, cut_off, counts, gates

    def _named(
        self, modality: str, owners: tuple[int, ...], gate: torch.Tensor
    ) -> dict[int, dict[str, float]]:
        """By example; of several items the mean."""
        names = self.gate_names(modality)
        rows: dict[int, list[list[float]]] = {}
        for who, row in zip(owners, gate.float().tolist(), strict=True):
            rows.setdefault(who, []).append(row)
        return {
            who: {
                name: sum(column) / len(column) for name, *column in zip(names, *items, strict=True)
            }
            for who, items in rows.items()
        }

    def _fuse(
        self, states: Mapping[str, States], owners: Mapping[str, tuple[int, ...]]
    ) -> tuple[States, tuple[int, ...]]:
        """Fuse what each example has: states `[B, K, C]` of the examples with any medium."""
        assert self.fusion is not None
        examples = tuple(sorted({who for items in owners.values() for who in items}))
        row_of = {who: row for row, who in enumerate(examples)}
        streams = []
        for stream in self.fusion.streams:
            names = [name for name in states if self.branches[name] == stream]
            parts = [
                (part, [row_of[who] for who in whose])
                for name in names
                for part, whose in one_each(states[name], owners[name])
            ]
            like = torch.zeros(1, self._encoder(stream).layer_size, device=self.llm.device)
            streams.append(gather(parts, len(examples), like=like))
        fused = self.fusion(streams)
        mask = torch.ones(fused.shape[:2], dtype=torch.bool, device=fused.device)
        return States(fused, mask), examples

    def _encoder(self, name: str) -> Encoder:
        encoder = self.encoders[name]
        assert isinstance(encoder, Encoder)
        return encoder

    def _idle(self, modality: str) -> States:
        """The fewest states, zeros, where no rank runs the encoder."""
        device, width = self.llm.device, self._encoder(self.branches[modality]).hidden_size
        count = self._compressor(modality).frame_states
        real = torch.ones(1, count, dtype=torch.bool, device=device)
        return States(torch.zeros(1, count, width, device=device), real)

    def _compressor(self, modality: str) -> Compressor:
        own = modality in self.compressors
        found = self.compressors[modality if own else self.branches[modality]]
        assert isinstance(found, Compressor)
        return found


def _by_example(owners: Sequence[int], parts: Sequence[torch.Tensor]) -> dict[int, torch.Tensor]:
    """Parts `[K, H]` by the example they belong to; several of one stand one after another."""
    found: dict[int, list[torch.Tensor]] = {}
    for who, part in zip(owners, parts, strict=True):
        found.setdefault(who, []).append(part)
    return {who: own[0] if len(own) == 1 else torch.cat(own) for who, own in found.items()}


def _check_names(
    encoders: Mapping[str, object],
    branches: Mapping[str, str],
    compressors: Mapping[str, object],
    *,
    fused: bool,
) -> None:
    unknown = set(branches.values()) - set(encoders)
    if unknown:
        raise ConfigError(
            "model.branches",
            f"unknown encoders {sorted(unknown)}",
            expected=f"one of {sorted(encoders)}",
        )
    wanted = {name if name in compressors else branch for name, branch in branches.items()}
    wanted |= (set(encoders) - set(branches.values())) | ({"multi"} if fused else set())
    if set(compressors) != wanted:
        raise ConfigError(
            "model.compressors",
            f"{sorted(compressors)}",
            expected=f"{sorted(wanted)}",
            fix="one for each encoder or modality, and `multi` where there is a fusion",
        )
