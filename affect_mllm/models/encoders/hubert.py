"""Speech encoders that read waveforms: HuBERT, WavLM, data2vec-audio, wav2vec 2.0."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from affect_mllm.config import weights_path
from affect_mllm.models.encoders.base import Encoder, States, of_layers
from affect_mllm.models.indices import on_device
from affect_mllm.models.pretrained import loading
from affect_mllm.models.ragged import on_host, picked, put_back
from affect_mllm.types import ConfigError, DataError

Count = TypeVar("Count", int, torch.Tensor)
FAMILIES = ("hubert", "wavlm", "wav2vec2", "data2vec-audio")
# Whose padding can be masked exactly and without a deprecated call of torch (WavLM's attention).
MASKABLE = ("hubert", "wav2vec2")


@dataclass(frozen=True)
class StridedStates:
    """States that convolutions of `(kernel, stride)` make of samples `[n]` or windows `[W, n]`."""

    strides: tuple[tuple[int, int], ...]
    pooled: bool

    def __call__(self, array: np.ndarray) -> int:
        """The count for one item's array; 0 for a sound that is too short for one state."""
        windows = 1 if array.ndim == 1 else len(array)
        each = max(0, self.of(array.shape[-1]))
        return windows * (min(each, 1) if self.pooled else each)

    @property
    def least(self) -> int:
        """The fewest samples that make a state."""
        samples = 1
        for kernel, stride in reversed(self.strides):
            samples = (samples - 1) * stride + kernel
        return samples

    def of(self, samples: Count) -> Count:
        """States of so many samples."""
        for kernel, stride in self.strides:
            samples = (samples - kernel) // stride + 1
        return samples


class SpeechEncoder(Encoder):
    """Waveforms `[N, n]` at 16 kHz, or windows of them `[N, W, n]` → states of 20 ms, `[N, S, D]`.

    The states are the mean of the hidden `layers` (−1: the model's output; `[-4, -3, -2, -1]` is
    AffectGPT's choice), or with `mix` the model weights these (`LayerMix`). `pool="mean"` averages
    them over time: one state a clip, or one a window.
    A clip's states never depend on its batch: where a model's convolutions would mix padding in
    (a first layer normalised over time, as in HuBERT-base; several positional layers, as in
    data2vec), clips of one length run together and none is padded. SpecAugment and LayerDrop are
    off.
    `allow_bin` also admits a Hub repository that has a `.bin` file only: torch reads tensors from
    it without executing anything (`weights_only`).
    """

    def __init__(
        self,
        model: str,
        *,
        transform: Callable[[Any], Any],
        pool: Literal["none", "mean"] = "none",
        layers: Sequence[int] = (-1,),
        mix: bool = False,
        frozen: bool = True,
        allow_bin: bool = False,
    ) -> None:
        super().__init__(transform=transform, frozen=frozen)
        from transformers import AutoConfig, AutoModel

        self.name, self.pool = model, pool
        path = weights_path(model)
        with loading(model, "a HuBERT, WavLM, data2vec-audio or wav2vec 2.0 model"):
            config = AutoConfig.from_pretrained(path)
            if config.model_type not in FAMILIES:
                raise ConfigError("encoder.model", config.model_type, expected=", ".join(FAMILIES))
            config.apply_spec_augment, config.layerdrop = False, 0.0
            self.net: Any = AutoModel.from_pretrained(
                path,
                config=config,
                dtype="float32",
                use_safetensors=None if allow_bin else True,
                weights_only=True,
            )
        self._choose(layers, int(config.hidden_size), mix=mix)
        self.maskable = config.model_type in MASKABLE and config.feat_extract_norm == "layer"
        self._freeze()

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> States:
        """States and their mask: `[N, S]`, or `[N, W·S]` of windows, or as `pool` says.

        Raises DataError for a clip that is too short for one state.
        """
        if values.ndim == 2:
            states = self._sounds(values, on_host(mask).sum(1))
            return self._pooled(states) if self.pool == "mean" else states
        shown = on_host(mask)
        windows = picked(values, shown)
        lengths = torch.full((len(windows),), windows.shape[1])
        inner = self._sounds(windows, lengths)
        inner = self._pooled(inner) if self.pool == "mean" else inner
        each = inner.values.shape[1]
        states = put_back(inner.values, shown)
        return States(states.flatten(1, 2), mask.repeat_interleave(each, dim=1))

    def _sounds(self, values: torch.Tensor, lengths: torch.Tensor) -> States:
        """States of sounds `[M, n]` whose first `lengths` (on the host) samples are real."""
        counts = self.state_count().of(lengths)
        if int(counts.min()) < 1:
            got = f"{int(lengths.min())} samples"
            raise DataError("sound", got, expected=f"{self.least_steps()} or more")
        longest = int(counts.max())
        states = values.new_zeros(len(values), longest, self.hidden_size)
        real = on_device(torch.arange(longest) < counts.unsqueeze(1), values.device)
        for rows, samples in self._runs(lengths):
            mask = torch.arange(samples) < lengths[rows].unsqueeze(1)
            rows = on_device(rows, values.device)
            output = self.net(
                values[rows, :samples],
                attention_mask=None if mask.all() else on_device(mask.long(), values.device),
                output_hidden_states=True,
            )
            # −1 is what comes out: releases of transformers differ in whether their last hidden
            # state has passed the final norm of the large models.
            every = (*output.hidden_states[:-1], output.last_hidden_state)
            found = of_layers(every, self.layers, side_by_side=self.side_by_side)
            states[rows, : found.shape[1]] = found.to(states.dtype)
        return States(states.masked_fill(~real.unsqueeze(-1), 0), real)

    def _runs(self, lengths: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
        """Rows that run together, and how many samples of them."""
        if self.maskable:
            yield torch.arange(len(lengths)), int(lengths.max())
            return
        for length in lengths.unique().tolist():
            yield (lengths == length).nonzero().squeeze(1), length

    def each_layer(self) -> dict[str, int]:
        """One for each hidden state; the last is what comes out."""
        return self._open(int(self.net.config.num_hidden_layers) + 1)

    def state_count(self) -> StridedStates:
        """Through the strides of the convolutions."""
        config = self.net.config
        strides = tuple(zip(config.conv_kernel, config.conv_stride, strict=True))
        return StridedStates(strides, pooled=self.pool == "mean")

    def positions(self) -> StridedStates:
        """States of 20 ms, pooled or not."""
        return replace(self.state_count(), pooled=False)

    def least_steps(self) -> int:
        """Samples; 400, which are 25 ms, for the published families."""
        return self.state_count().least

    def _pooled(self, states: States) -> States:
        weights = states.mask.unsqueeze(-1).to(states.values.dtype)
        mean = (states.values * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
        return States(mean, states.mask[:, :1])

    def extra_repr(self) -> str:
        """The settings that change the states."""
        return f"pool={self.pool}, layers={self.layers}"
