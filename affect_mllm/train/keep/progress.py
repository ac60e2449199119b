"""How far a stage is beyond its step number: what it has seen, and how much of that was bad."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass
class Progress:
    """Counts over all ranks since the stage began; a resumed stage goes on with them."""

    tokens_seen: int = 0
    samples_seen: int = 0
    bad_samples: int = 0

    def state(self) -> dict[str, int]:
        """What a checkpoint keeps."""
        return asdict(self)

    @classmethod
    def of(cls, state: dict[str, Any]) -> Progress:
        """From what a checkpoint kept. Raises KeyError where it lacks a count."""
        return cls(**{field.name: int(state[field.name]) for field in fields(cls)})
