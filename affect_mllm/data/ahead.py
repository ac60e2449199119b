"""What workers make ahead of its use: in order, and never more of it than they may hold."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from affect_mllm.types import AffectError

Item = TypeVar("Item")
T = TypeVar("T")
EACH = 4  # steps of training that a worker has ready at most


class Ahead(Generic[T]):
    """What `make` gives for each of `items`, in their order, made by `workers` processes.

    Without workers each is made when its turn comes. Our own errors come out of a worker as they
    are. `make` is copied to workers, so it holds no model. `pinned`: in memory that a
    GPU copies from by itself.
    """

    def __init__(
        self,
        make: Callable[[Item], T],
        items: Sequence[Item],
        *,
        workers: int,
        each: int = EACH,
        pinned: bool = False,
    ) -> None:
        self._loader: DataLoader[T | AffectError] = DataLoader(
            _Handed(make, items),
            batch_size=None,
            sampler=range(len(items)),
            num_workers=workers,
            prefetch_factor=each if workers else None,
            pin_memory=pinned,
            worker_init_fn=_one_thread if workers else None,
            # Of its own, or starting the loader would draw from the state that a resume restored.
            generator=torch.Generator().manual_seed(0),
        )

    def __iter__(self) -> Iterator[T]:
        """What was made, in order. Raises what a worker raised, without torch's wrapping."""
        with _left_to_this_process():
            coming = iter(self._loader)  # starts the workers
        for made in coming:
            if isinstance(made, AffectError):
                raise made
            yield made


@contextlib.contextmanager
def _left_to_this_process() -> Iterator[None]:
    """A worker forked inside never collects the garbage that this process has made so far.

    A decoded frame's end waits for the threads of its scaler, which a fork does not have.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Handed(Dataset["T | AffectError"], Generic[Item, T]):
    """Hands over an error of ours like a batch: torch would make text of it in a worker."""

    def __init__(self, make: Callable[[Item], T], items: Sequence[Item]) -> None:
        self._make, self._items = make, items

    def __getitem__(self, place: int) -> T | AffectError:
        try:
            return self._make(self._items[place])
        except AffectError as error:
            return error


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
