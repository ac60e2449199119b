"""How many states and tokens an item has, and how many its encoder and compressor can do with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from affect_mllm.types import DataError, Patches, Placeholder, modality_of


class StateCount(Protocol):
    """How many states an encoder makes of its input; picklable, for the loader's workers."""

    def __call__(self, array: np.ndarray, /) -> int:
        """The count for one item's array."""
        ...


@dataclass(frozen=True)
class StatesPerStep:
    """`each` states for every `of` steps of the first axis; a part of `of` counts whole."""

    each: int = 1
    of: int = 1

    def __call__(self, array: np.ndarray) -> int:
        """The count for one item's array."""
        return -(-len(array) // self.of) * self.each


@dataclass(frozen=True)
class PictureTokens:
    """Tokens that a transformer reads of pictures `[T, 3, H, W]`: a patch of `size²` is one."""

    size: int
    extra: int = 0

    def __call__(self, array: np.ndarray) -> int:
        """The count for one item's array; `extra` for each picture."""
        high, wide = (side // self.size for side in array.shape[-2:])
        return len(array) * (high * wide + self.extra)


class PatchCount:
    """Patches that a VLM's tower reads of a picture or video."""

    def __call__(self, patches: Patches) -> int:
        """The count for one item."""
        return int(np.prod(patches.grid))


class TokenCount(Protocol):
    """How many tokens are made of so many states; picklable as well."""

    def __call__(self, states: int, /) -> int:
        """The count for an item with `states` states."""
        ...


@dataclass(frozen=True)
class OneFor:
    """One token for `each` states; the last token may have fewer."""

    each: int = 1

    def __call__(self, states: int) -> int:
        """The count for an item with `states` states."""
        return -(-states // self.each)


@dataclass(frozen=True)
class Then:
    """What `second` makes of the tokens of `first`."""

    first: TokenCount
    second: TokenCount

    def __call__(self, states: int) -> int:
        """The count for an item with `states` states."""
        return self.second(self.first(states))


@dataclass(frozen=True)
class TokenRule:
    """The tokens that `tokens` counts, of the states of a `width` that `states` counts.

    An array `[S, width]` is taken for states that are encoded already, any other for what the
    encoder reads.
    """

    states: StateCount
    width: int
    tokens: TokenCount

    def __call__(self, array: np.ndarray) -> Placeholder:
        """The placeholder for one item's array."""
        encoded = array.ndim == 2 and array.shape[1] == self.width
        count = len(array) if encoded else self.states(array)
        return Placeholder(self.tokens(count))


@dataclass(frozen=True)
class Limit:
    """What one modality's encoder and compressor take of an item.

    `states` counts what the encoder makes of its input, of which `least` steps make the first
    state; the compressor reads multiples of `multiple` states and at most `most` (0: any number).
    """

    states: StateCount
    least: int = 1
    multiple: int = 1
    most: int = 0

    def count(self, name: str, array: Any, *, encoded: bool) -> int:
        """The item's states. Raises DataError for a number that the modules cannot do with."""
        count = len(array) if encoded else self.states(array)
        if count < 1:
            steps = 0 if not len(array) else np.shape(array)[-1 if array.ndim < 3 else 0]
            raise DataError(
                name,
                f"{steps} steps, too short for its encoder",
                expected=f"{self.least} or more",
                fix="take a longer clip, or leave this medium out of the row",
            )
        if count % self.multiple:
            raise DataError(
                name,
                f"{count} states",
                expected=f"frames of {self.multiple} states",
                fix="give the encoder's output the same grid as the compressor",
            )
        if self.most and count > self.most:
            raise DataError(
                name,
                f"{count} states",
                expected=f"at most {self.most}",
                fix="raise `positions` of its Q-Former, or let the encoder make fewer states",
            )
        return count


@dataclass(frozen=True)
class Limits:
    """Whether a model can do with a row's arrays, asked before it computes; picklable.

    `each` by modality; a fusion that reads all streams one after another takes `together` states
    (0: any number).
    """

    each: Mapping[str, Limit]
    together: int = 0

    def __call__(self, arrays: Mapping[str, Any], *, encoded: bool) -> None:
        """Raises DataError naming the modality. `encoded`: the arrays are encoder states."""
        counts = [
            self.each[modality_of(name)].count(name, array, encoded=encoded)
            for name, array in arrays.items()
            if modality_of(name) in self.each
        ]
        if self.together and sum(counts) > self.together:
            raise DataError(
                ", ".join(arrays),
                f"{sum(counts)} states together",
                expected=f"at most {self.together}",
                fix="raise `positions` of the Q-Former, or let the encoders make fewer states",
            )
