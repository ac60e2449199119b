"""What every encoder offers: states and their mask from padded inputs, a width, a fingerprint."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from affect_mllm.models.encoders.pixels import normalised
from affect_mllm.models.spans import StateCount, StatesPerStep
from affect_mllm.types import ConfigError


class States(NamedTuple):
    """Encoder states `[N, S, D]` and their mask `[N, S]`, true where a state is real.

    `deep[i]` `[M, H]`: of a VLM's tower, what its LLM's layer `i` is given besides, at the places
    of all items' tokens one after another.
    """

    values: torch.Tensor
    mask: torch.Tensor
    deep: tuple[torch.Tensor, ...] = ()


def mean_of_layers(hidden: Sequence[torch.Tensor], layers: Sequence[int]) -> torch.Tensor:
    """The mean of the chosen hidden states (−1: the last; 0: what enters the first layer).

    Raises ConfigError where there is no such layer.
    """
    if not layers or any(not -len(hidden) <= layer < len(hidden) for layer in layers):
        raise ConfigError(
            "encoder.layers",
            str(list(layers)),
            expected=f"some of {-len(hidden)} … {len(hidden) - 1}",
        )
    return torch.stack([hidden[layer] for layer in layers]).mean(0)


def by_frame(cells: torch.Tensor, mask: torch.Tensor) -> States:
    """What the real frames gave, `[M, C, D]`, as states `[N, T·C, D]`; masked frames are zeros."""
    states = cells.new_zeros(*mask.shape, *cells.shape[1:])
    states[mask] = cells
    return States(states.flatten(1, 2), mask.repeat_interleave(cells.shape[1], dim=1))


class Encoder(nn.Module):
    """A frozen (default) or trainable encoder, paired with its CPU preprocessing.

    `transform` turns what `media` reads into one array whose first axis is time: uint8 where it
    has a `normal`, by which `pixels` normalises where the encoder runs. `hidden_size` is the
    width of the states. A frozen encoder stays in eval mode whatever `train()` says, so
    that dropout and batch norm never make features random.
    """

    def __init__(self, *, transform: Callable[[Any], Any], frozen: bool = True) -> None:
        super().__init__()
        self.transform = transform
        self.frozen = frozen
        self.hidden_size = 0

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

    def fingerprint(self) -> str:
        """Hash of weights, settings and preprocessing: equal means equal features."""
        digest = hashlib.sha256(f"{type(self).__name__} {self.extra_repr()}".encode())
        settings = sorted(vars(self.transform).items())
        digest.update(f"{type(self.transform).__qualname__} {settings}".encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _freeze(self) -> None:
        if self.frozen:
            self.requires_grad_(False)
        self.train(False)
