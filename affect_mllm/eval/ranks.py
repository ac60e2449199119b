"""The processes that share an evaluation: who this one is, and where all of them meet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = timedelta(hours=24)  # one rank's clips may take far longer than another's


@dataclass(frozen=True)
class Ranks:
    """Process `index` of `world`; `state` is accelerate's, None where there is one process."""

    index: int = 0
    world: int = 1
    state: Any = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes what is written once."""
        return self.index == 0

    @property
    def device(self) -> Any:
        """Where this process computes: a GPU of its own if there is one."""
        import torch

        if self.state is not None:
            return self.state.device
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def gather(self, said: T) -> list[T]:
        """What every process says, in their order."""
        if self.state is None:
            return [said]
        from accelerate.utils import gather_object

        return gather_object([said])

    def share(self, items: Sequence[T]) -> list[T]:
        """This process's part: every `world`-th item."""
        return list(items[self.index :: self.world])

    def meet(self) -> None:
        """Wait until every process is here."""
        if self.state is not None:
            self.state.wait_for_everyone()


def ranks() -> Ranks:
    """This process among those that torchrun or accelerate started, on GPUs or on the CPU."""
    asked = int(os.environ.get("WORLD_SIZE", "1"))
    if asked == 1:
        return Ranks()
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
    assert state.num_processes == asked, "accelerate runs each process as if it were alone"
    return Ranks(state.process_index, asked, state)
