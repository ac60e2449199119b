"""Random changes of pictures while training: another view at each visit, none in evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from affect_mllm.media.image import Normal
from affect_mllm.types import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]


def shape_made(transform: Callable[[Any], Any], array: npt.NDArray[Any]) -> Any:
    """What `transform` makes of `array` by shape alone, where it can say so; else what it makes."""
    return getattr(transform, "made", transform)(array)


class RandomTransform(ABC):
    """A transform that draws: what it makes of a clip is not to be kept in a feature cache."""

    @abstractmethod
    def drawn(self, seed: tuple[int, ...] | None) -> Callable[[Any], Any]:
        """The transform with its draw made, always the same for a seed; None: without chance."""


class AugmentedPictures(RandomTransform):
    """Mirrors pictures and changes their light before an encoder's own transform `then`.

    One draw holds for all frames of a clip, so that a face does not flicker. `flip` is the
    probability of mirroring; brightness and contrast are scaled by up to 1 ± their value.
    """

    def __init__(
        self,
        then: Callable[[Any], Any],
        *,
        flip: Share = 0.5,
        brightness: Share = 0.2,
        contrast: Share = 0.2,
    ) -> None:
        """ConfigError for a share outside 0 to 1."""
        for name, value in (("flip", flip), ("brightness", brightness), ("contrast", contrast)):
            if not 0 <= value <= 1:
                raise ConfigError(f"augment.{name}", str(value), expected="0 to 1")
        self.then, self.flip, self.brightness, self.contrast = then, flip, brightness, contrast

    @property
    def normal(self) -> Normal | None:
        """That of `then`."""
        return getattr(self.then, "normal", None)

    def __call__(self, images: npt.NDArray[np.uint8]) -> Any:
        """What evaluation sees: `then` alone."""
        return self.then(images)

    def made(self, images: npt.NDArray[np.uint8]) -> Any:
        """Nothing but the shape of what it makes of `images`."""
        return shape_made(self.then, images)

    def drawn(self, seed: tuple[int, ...] | None) -> Callable[[Any], Any]:
        """uint8 [T, H, W, 3] to what `then` makes of the changed pictures."""
        if seed is None:
            return self.then
        rng = np.random.default_rng([*seed, 4])
        mirrored = rng.random() < self.flip
        gain, spread = (1 + s * rng.uniform(-1, 1) for s in (self.brightness, self.contrast))

        def changed(images: npt.NDArray[np.uint8]) -> Any:
            view = images[:, :, ::-1] if mirrored else images
            mean = view.mean(axis=(1, 2, 3), keepdims=True)
            light = (view - mean) * spread + mean * gain
            return self.then(np.ascontiguousarray(np.clip(np.rint(light), 0, 255), np.uint8))

        return changed
