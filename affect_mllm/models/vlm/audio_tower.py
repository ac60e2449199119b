"""The audio tower of an omni model as an encoder, and its last modules as a compressor's expert."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu, pad

from affect_mllm.borders import Borders
from affect_mllm.models.compressor.base import Expert
from affect_mllm.models.encoders.base import Encoder, States
from affect_mllm.models.indices import on_device
from affect_mllm.models.ragged import on_host
from affect_mllm.models.spans import StateCount, StatesPerStep
from affect_mllm.models.vlm.sound_count import SoundCount


class AudioTower(Encoder):
    """Log-mel frames `[N, T, B]` of 10 ms → states `[N, S, D]`, each sound as if it were alone.

    Qwen2.5-Omni's (40 ms a state; blocks of 2 s attend to themselves) and Qwen3-Omni's (80 ms;
    blocks of 8 s): the modules of transformers' towers, each called once however many sounds there
    are, so that ranks stay together. What `take_tail` took makes tokens of the states. Where
    Qwen3-Omni's convolutions would hear the padding behind a sound under a second, whose frames
    are then as many as those of the longest beside it, it is cleared between them.
    """

    def __init__(self, net: Any, *, transform: Callable[[Any], Any], frozen: bool = True) -> None:
        super().__init__(transform=transform, frozen=frozen)
        self.net = net
        self.count, self.window = sound_count(net), 2 * int(net.n_window)
        self.halves = self.count.kind == "half"
        self.hidden_size = int(net.config.d_model)
        self._freeze()

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> States:
        """States of the real frames; padding gives zeros. At least `count.least` frames each."""
        lengths = on_host(mask).sum(1).tolist()
        windows = _Windows.of(lengths, self.window)
        short = -values.shape[1] % self.window
        frames = pad(values.masked_fill(~mask.unsqueeze(-1), 0), (0, 0, 0, short))
        cut = frames.unflatten(1, (-1, self.window)).flatten(0, 1)
        places = [row * (frames.shape[1] // self.window) + at for row, at in windows.places]
        cut = cut.index_select(0, on_device(places, values.device)).transpose(1, 2)
        hidden = self._in_halves(cut, windows) if self.halves else self._in_eighths(cut, windows)
        hidden = hidden + self.net.positional_embedding(hidden.shape[1]).to(hidden.dtype)
        made = [self._made(count) for count in windows.frames]
        real = torch.arange(hidden.shape[1]) < torch.tensor(made).unsqueeze(1)
        hidden = hidden.flatten(0, 1)[on_device(real.flatten().nonzero().squeeze(1), values.device)]
        attended = self._attended(windows, made, values.device)
        for layer in self.net.layers:
            hidden = layer(hidden, **attended)[0]
        return self._padded(hidden.float(), [sum(each) for each in windows.by_sound(made)])

    def state_count(self) -> SoundCount:
        """One for each token."""
        return self.count

    def positions(self) -> StateCount:
        """States of its layers, of which two are one in Qwen2.5-Omni."""
        return StatesPerStep(of=2) if self.halves else self.count

    def least_steps(self) -> int:
        """Frames."""
        return self.count.least

    def state_mask(self, mask: torch.Tensor) -> torch.Tensor:
        """By the numbers of real frames."""
        counts = self.count.of(mask.sum(1))
        return torch.arange(int(counts.max())) < counts.unsqueeze(1)

    def _in_halves(self, cut: torch.Tensor, windows: _Windows) -> torch.Tensor:
        """Windows `[C, B, T]` → `[C, T / 2, D]`."""
        net = self.net
        hidden = gelu(net.conv1(cut.to(net.conv1.weight.dtype)))
        hidden = hidden * _behind(windows.frames, hidden)
        return gelu(net.conv2(hidden)).transpose(1, 2)

    def _in_eighths(self, cut: torch.Tensor, windows: _Windows) -> torch.Tensor:
        """Windows `[C, B, T]` → `[C, T / 8, D]`."""
        net = self.net
        # A longer sound's last window is padded to a whole one when it is alone, too.
        heard = [
            count if alone else self.window
            for count, alone in zip(windows.frames, windows.alone, strict=True)
        ]
        hidden = cut.unsqueeze(1).to(net.conv2d1.weight.dtype)
        for conv in (net.conv2d1, net.conv2d2, net.conv2d3):
            hidden = gelu(conv(hidden))
            heard = [-(-count // 2) for count in heard]
            hidden = hidden * _behind(heard, hidden)
        return net.conv_out(hidden.permute(0, 3, 1, 2).flatten(2))

    def _made(self, frames: int) -> int:
        """States of a window before layers: two for a token where tokens are for two of them."""
        return -(-frames // 2) if self.halves else -(-frames // 8)

    def _attended(
        self, windows: _Windows, made: Sequence[int], device: torch.device
    ) -> dict[str, Any]:
        """The layers' keywords: which states attend to each other."""
        lengths = list(made)
        if not self.halves:
            most = -(-self.window // 8) * (self.net.n_window_infer // self.window)
            whole = [sum(each) for each in windows.by_sound(made)]
            lengths = [min(most, all_ - at) for all_ in whole for at in range(0, all_, most)]
        borders = Borders.between(lengths)
        split = "flash" not in self.net.config._attn_implementation  # as transformers asks
        if split:  # block by block, by numbers that are asked for
            return {"cu_seqlens": borders.starts, "max_seqlen": borders.longest}
        borders = borders.to(device)
        return {
            "cu_seqlens": borders.starts,
            "max_seqlen": borders.longest,
            "borders": (borders,),
        }

    def _padded(self, hidden: torch.Tensor, each: Sequence[int]) -> States:
        """States `[M, D]` of all sounds as `[N, S, D]`; of `half`, the mean of each two."""
        step = 2 if self.halves else 1
        first, places, counts = 0, [], []
        longest = max(count // step for count in each)
        kept: list[int] = []
        for number, count in enumerate(each):
            kept += range(first, first + count // step * step)
            places += range(number * longest, number * longest + count // step)
            counts.append(count // step)
            first += count
        device = hidden.device
        found = hidden.index_select(0, on_device(kept, device)).unflatten(0, (-1, step)).mean(1)
        states = found.new_zeros(len(each) * longest, found.shape[-1])
        states = states.index_copy(0, on_device(places, device), found)
        mask = torch.arange(longest) < torch.tensor(counts).unsqueeze(1)
        return States(states.unflatten(0, (len(each), longest)), on_device(mask, device))


@dataclass(frozen=True)
class _Windows:
    """The windows that sounds are cut into: whose, the how manieth, and how many frames are real.

    `alone`: its sound is this one window.
    """

    places: list[tuple[int, int]]
    frames: list[int]
    alone: list[bool]

    @classmethod
    def of(cls, lengths: Sequence[int], window: int) -> _Windows:
        """Of sounds of so many frames."""
        places, frames, alone = [], [], []
        for number, length in enumerate(lengths):
            starts = range(0, length, window)
            places += [(number, at) for at in range(len(starts))]
            frames += [min(window, length - start) for start in starts]
            alone += [len(starts) == 1] * len(starts)
        return cls(places, frames, alone)

    def by_sound(self, made: Sequence[int]) -> list[list[int]]:
        """A number of each window, as those of each sound."""
        found: dict[int, list[int]] = {}
        for (number, _), each in zip(self.places, made, strict=True):
            found.setdefault(number, []).append(each)
        return list(found.values())


def _behind(counts: Sequence[int], hidden: torch.Tensor) -> torch.Tensor:
    """`[C, 1, …, T]`, 0 behind the first `counts` of each window's steps and else 1."""
    real = torch.arange(hidden.shape[-1]) < torch.tensor(counts).unsqueeze(1)
    shape = (len(counts), *[1] * (hidden.ndim - 2), hidden.shape[-1])
    return on_device(real.view(shape), hidden.device).to(hidden.dtype)


def sound_count(net: Any) -> SoundCount:
    """The tokens of a tower of transformers, by its convolutions."""
    return SoundCount("half" if hasattr(net, "conv1") else "eighth", 2 * int(net.n_window))


def take_tail(net: Any, names: Sequence[str]) -> nn.Sequential:
    """A tower's last modules, which are then no longer in it."""
    found = nn.Sequential(*(net.get_submodule(name) for name in names))
    for name in names:
        setattr(net, name, nn.Identity())
    return found


class TailExpert(Expert):
    """An expert of the hybrid compressor that begins as a copy of an audio tower's last modules.

    `[N, S, D]` → `[N, S, H]`: a token for each state.
    """

    def __init__(self, tail: nn.Module) -> None:
        super().__init__()
        self.tail = copy.deepcopy(tail).float().requires_grad_(True)  # as every connector

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Tokens of all states, what masked ones give included."""
        return self.tail(states.masked_fill(~mask.unsqueeze(-1), 0))
