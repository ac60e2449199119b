"""Another scorer of a benchmark: its publisher's, or a toolkit's that many results come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Toolkit = Literal["lmms-eval", "vlmevalkit"]


@dataclass(frozen=True)
class Official:
    """A scorer: the metrics that take the place of ours by name, and how it reads.

    `source` is repository@commit. `extraction` is a policy of its own, if it has one;
    `differences` are sentences for the reader; `tables` asks for published emotion-wheel tables.
    `metrics` names the scorer of each of our metrics.
    """

    source: str
    metrics: dict[str, str]
    extraction: str | None = None
    differences: tuple[str, ...] = ()
    tables: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "differences", tuple(self.differences))
