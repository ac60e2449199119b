"""What every encoder offers: states and their mask from padded inputs, a width, a fingerprint."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from affect_mllm.models.encoders.fingerprint import Fingerprint, Remember
from affect_mllm.models.encoders.pixels import normalised
from affect_mllm.models.ragged import on_host, put_back
from affect_mllm.models.spans import StateCount, StatesPerStep
from affect_mllm.types import ConfigError

# Whose forward pass is one product of their weights, which autocast casts.
PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class States(NamedTuple):
    """Encoder states `[N, S, D]` and their mask `[N, S]`, true where a state is real.

    `deep[i]` `[M, H]`: of a VLM's tower, what its LLM's layer `i` is given besides, at the places
    of all items' tokens one after another.
    """

    values: torch.Tensor
    mask: torch.Tensor
    deep: tuple[torch.Tensor, ...] = ()


def of_layers(
    hidden: Sequence[torch.Tensor], layers: Sequence[int], *, side_by_side: bool = False
) -> torch.Tensor:
    """The mean of the chosen hidden states (−1: the last; 0: what enters the first layer), or all
    of these side by side, `[…, layers · D]`.

    Raises ConfigError where there is no such layer.
    """
    if not layers or any(not -len(hidden) <= layer < len(hidden) for layer in layers):
        raise ConfigError(
            "encoder.layers",
            str(list(layers)),
            expected=f"some of {-len(hidden)} … {len(hidden) - 1}",
        )
    chosen = [hidden[layer] for layer in layers]
    return torch.cat(chosen, -1) if side_by_side else torch.stack(chosen).mean(0)


def by_frame(cells: torch.Tensor, mask: torch.Tensor) -> States:
    """What the real frames gave, `[M, C, D]`, as states `[N, T·C, D]`; masked frames are zeros."""
    states = put_back(cells, on_host(mask))
    return States(states.flatten(1, 2), mask.repeat_interleave(cells.shape[1], dim=1))


class Encoder(nn.Module):
    """A frozen (default) or trainable encoder, paired with its CPU preprocessing.

    `transform` turns what `media` reads into one array whose first axis is time: uint8 where it
    has a `normal`, by which `pixels` normalises where the encoder runs. `hidden_size` is the
    width of the states, `name` the model whose weights it has. A frozen encoder stays in eval
    mode whatever `train()` says, so that dropout and batch norm never make features random.
    `model` of an encoder with pretrained weights is `asset:NAME`, a local folder or a Hub id.
    `frozen: false` lets a stage train it.
    """

    name = ""
    layers: tuple[int, ...] = ()
    side_by_side = False  # hidden states of several layers: their mean, or all of them
    mixed = 0  # how many layers stand side by side for a learned mix of them

    def __init__(self, *, transform: Callable[[Any], Any], frozen: bool = True) -> None:
        super().__init__()
        self.transform = transform
        self.frozen = frozen
        self.hidden_size = 0
        self.print = Fingerprint(self)

    @classmethod
    def tiny(cls, model: str, folder: Path) -> dict[str, Any]:
        """Write tiny random weights of the architecture of `model`, for tests and first steps.

        Returns the settings of a YAML that fit them, by their path below it (`transform.size`);
        only those that the YAML has are used. Here the weights are those of transformers; a class
        that reads others has its own. A class without an option `model` has none.
        """
        from affect_mllm.models.tiny.weights import tiny_encoder

        return tiny_encoder(model, folder)

    @abstractmethod
    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> States:
        """States of padded inputs `[N, T, …]` with mask `[N, T]`; each item on its own."""

    def pixels(self, pictures: torch.Tensor) -> torch.Tensor:
        """Real pictures `[…, 3, H, W]` as the network reads them: uint8 become normalised float32.

        Floats stay as they are: a transform without a `normal` has made them. Raises ConfigError
        for uint8 of one.
        """
        if pictures.dtype != torch.uint8:
            return pictures
        normal = getattr(self.transform, "normal", None)
        if normal is None:
            raise ConfigError(
                "encoder.transform",
                f"{type(self.transform).__name__} makes uint8 and has no `normal`",
                expected="a mean and a std to normalise it by, or float32",
                fix="give it a property `normal`, as ImageTransform has one",
            )
        return normalised(pictures, normal)

    def state_count(self) -> StateCount:
        """How many states an input array gives; here one for each step of its first axis."""
        return StatesPerStep()

    @property
    def layer_size(self) -> int:
        """The width of one layer's states: what is left of them after a mix."""
        return self.hidden_size // (self.mixed or 1)

    def _choose(self, layers: Sequence[int], width: int, *, mix: bool) -> None:
        """Give the mean of these hidden states of `width`, or with `mix` all of them side by side.

        Raises ConfigError for a mix of fewer than two.
        """
        if mix and len(layers) < 2:
            raise ConfigError(
                "encoder.mix", f"layers {list(layers)}", expected="two layers or more, to be mixed"
            )
        self.layers, self.side_by_side = tuple(layers), mix
        self.mixed = len(layers) if mix else 0
        self.hidden_size = width * (self.mixed or 1)

    def positions(self) -> Callable[[Any], int]:
        """How many positions its layers compute of an input; here, one for each state."""
        return self.state_count()

    def each_layer(self) -> dict[str, int]:
        """From now on give the states of every layer side by side; their names and widths.

        An encoder that does not choose among layers has one, named "".
        """
        return {"": self.hidden_size}

    def _open(self, layers: int) -> dict[str, int]:
        """Give so many hidden states, from what enters the first layer on."""
        width, self.side_by_side = self.layer_size, True
        self.layers, self.mixed = tuple(range(layers)), 0
        self.hidden_size = width * layers
        return dict.fromkeys(map(str, self.layers), width)

    def state_mask(self, mask: torch.Tensor) -> torch.Tensor | None:
        """The mask of the states of inputs with `mask` `[N, T]`, if nothing else decides it.

        So the host knows it without asking the device on which the encoder runs.
        """
        count = self.state_count()
        if not isinstance(count, StatesPerStep) or count.of > 1:
            return None
        return mask.repeat_interleave(count.each, dim=1)

    def least_steps(self) -> int:
        """The fewest steps of an input's time axis (samples, frames) that make a state."""
        return 1

    def train(self, mode: bool = True) -> Encoder:
        """Train mode only if the encoder is not frozen."""
        return super().train(mode and not self.frozen)

    def settings(self) -> str:
        """What makes its states beside its weights: class, settings and preprocessing."""
        own = f"{type(self).__name__} {self.extra_repr()}"
        own += " side by side" if self.side_by_side else ""
        transform = sorted(vars(self.transform).items())
        return f"{own}{type(self.transform).__qualname__} {transform}"

    def fingerprint(self, remember: Remember | None = None) -> str:
        """Hash of weights, settings and preprocessing: equal means equal features.

        `remember` knows the hashes of weights that are as their files had them.
        """
        return self.print.of(remember)

    def hold_in(self, dtype: torch.dtype) -> None:
        """Keep the weights of products in what autocast to `dtype` would cast them to each time.

        States stay the same, to the bit, under that autocast, and only there: what autocast
        computes in float32 (norms, sums with positions) keeps its float32 weights. Weights that
        train, or that came from a checkpoint, which may be saved again, are left alone.
        """
        if not self.print.is_of_files or any(p.requires_grad for p in self.parameters()):
            return
        with self.print.kept(), torch.no_grad():
            for module in self.modules():
                if type(module) in PRODUCTS and not is_parametrized(module):
                    for parameter in module.parameters(recurse=False):
                        if parameter.dtype == torch.float32:
                            parameter.data = parameter.data.to(dtype)

    def _apply(self, fn: Callable[..., torch.Tensor], recurse: bool = True) -> Encoder:
        """Moved to a device, weights are still those of their files; in another dtype, not."""
        before = [tensor.dtype for tensor in self.state_dict().values()]
        with self.print.kept() as keeping:
            super()._apply(fn, recurse)
            keeping.whole = before == [tensor.dtype for tensor in self.state_dict().values()]
        return self

    def _freeze(self) -> None:
        if self.frozen:
            self.requires_grad_(False)
        self.train(False)
        self.print.as_loaded()
