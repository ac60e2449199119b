"""How many tokens an item takes in the sequence, where a compressor keeps one for a few states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from affect_mllm.types import Placeholder


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
