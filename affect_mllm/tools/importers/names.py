"""Names of another project's parameters to ours, each by the longest rule that it begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from affect_mllm.types import CheckpointError, ConfigError

SHOWN = 12  # names that a refusal lists


@dataclass(frozen=True)
class Names:
    """`ours` are beginnings of names with our beginnings in their place; `none` are beginnings of
    what is no parameter of the model, `dropped` of what is left out because the user says so.
    """

    ours: Mapping[str, str]
    none: Sequence[str] = ()
    dropped: Sequence[str] = ()

    def told(self, pairs: Sequence[str], dropped: Sequence[str]) -> Names:
        """With what the command line says: `THEIRS=OURS`, and beginnings that are left out, with
        all that is known to begin so.

        Raises ConfigError for a pair that is none.
        """
        more = {}
        for pair in pairs:
            theirs, _, ours = pair.partition("=")
            if not theirs or not ours:
                raise ConfigError("--map", repr(pair), expected="THEIRS=OURS, beginnings of names")
            more[theirs] = ours
        left = {our: there for our, there in self.ours.items() if not our.startswith((*dropped,))}
        none = [each for each in self.none if not each.startswith((*dropped,))]
        return Names({**left, **more}, none, dropped)

    def apply(self, weights: Mapping[str, torch.Tensor], project: str) -> Renamed:
        """The weights under our names.

        Raises CheckpointError with the name and shape of every tensor that no rule knows, and for
        two that would have one name.
        """
        made, unknown = Renamed(), []
        for name, tensor in weights.items():
            theirs = self._rule(name)
            ours = self.ours.get(theirs, "") + name.removeprefix(theirs)
            if not theirs:
                unknown.append(f"{name} {list(tensor.shape)}")
            elif theirs in self.dropped:
                made.dropped.append(name)
            elif theirs in self.none:
                made.ignored.append(name)
            elif ours in made.weights:
                where = f"{project} checkpoint"
                raise CheckpointError(
                    where,
                    f"{name}: a second tensor for {ours}",
                    fix="import a checkpoint as its project saved it, not two in one",
                )
            else:
                made.weights[ours] = tensor
        if unknown:
            raise _refusal(project, sorted(unknown))
        return made

    def _rule(self, name: str) -> str:
        """The longest beginning that is known, or none."""
        known = (*self.ours, *self.none, *self.dropped)
        return max((begun for begun in known if name.startswith(begun)), key=len, default="")


def _refusal(project: str, unknown: Sequence[str]) -> CheckpointError:
    more = f"\n    … {len(unknown)} in all" if len(unknown) > SHOWN else ""
    return CheckpointError(
        f"{project} checkpoint",
        "unexpected " + "\n    ".join(unknown[:SHOWN]) + more,
        expected=f"names of {project}'s parameters",
        fix="say what they are: --map THEIRS=OURS, or leave them out: --drop THEIRS",
    )


@dataclass
class Renamed:
    """Tensors by our names, and the names of theirs that are no parameters of the model or that
    were to be left out.
    """

    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
