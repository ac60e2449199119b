"""Which weights of another project's file a model takes: its connectors, and a changed base."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from affect_mllm.models import checkpoint
from affect_mllm.types import CheckpointError

Tensors = Mapping[str, torch.Tensor]
SHOWN = 5  # names that a message lists


@dataclass(frozen=True)
class Fitted:
    """`weights` to put into the model, of which `base` belong to its pretrained parts.

    `same` are theirs that equal the base's bit for bit, `fresh` ours that begin anew, and `rounded`
    those that our precision cannot hold.
    """

    weights: Tensors
    base: Sequence[str]
    same: Sequence[str]
    fresh: Sequence[str]
    rounded: Sequence[str]

    def lines(self) -> list[str]:
        """What is to be said of them."""
        said = {
            "weights of the pretrained parts changed": self.base,
            "equal to the pretrained ones": self.same,
            "begin anew, in no file": self.fresh,
            "rounded to the precision that the model is kept in": self.rounded,
        }
        return [f"{len(names)} {what}: {_few(names)}" for what, names in said.items() if names]


def fitted(model: nn.Module, found: Tensors, *, fresh: str, where: Path) -> Fitted:
    """What of the `found` tensors `model` takes, by its names.

    Raises CheckpointError for a pretrained part of which only some weights were found. What is
    unexpected, or missing and not matched by `fresh`, stays so for `checkpoint.put_weights`.
    """
    held = model.state_dict()
    own = set(checkpoint.own_names(model))
    weights = {_here(name, held): tensor for name, tensor in found.items()}
    base = [name for name in weights if name in held and name not in own]
    _check_whole(base, [name for name in held if name not in own], where)
    same = {name for name in base if _equal(held[name], weights[name])}
    new = [name for name in sorted(own - set(weights)) if re.fullmatch(fresh, name)]
    taken = {name: tensor for name, tensor in weights.items() if name not in same}
    return Fitted(
        {**taken, **{name: held[name] for name in new}},
        [name for name in base if name not in same],
        sorted(same),
        new,
        [name for name in base if name not in same and _rounds(weights[name], held[name])],
    )


def _here(name: str, held: Tensors) -> str:
    """The name that a layer's own weights have where LoRA stands beside it."""
    module, _, kind = name.rpartition(".")
    beside = f"{module}.base_layer.{kind}"
    return beside if name not in held and beside in held else name


def _check_whole(found: Sequence[str], every: Sequence[str], where: Path) -> None:
    parts = {_part(name) for name in found}
    missing = sorted({name for name in every if _part(name) in parts} - set(found))
    if missing:
        raise CheckpointError(
            str(where),
            f"missing {_few(missing)}",
            expected=f"all weights of {', '.join(sorted(parts))}, or none",
            fix="give all files of the checkpoint, or leave that part out: --drop",
        )


def _part(name: str) -> str:
    """`llm`, or an encoder."""
    return ".".join(name.split(".")[: 1 if name.startswith("llm.") else 2])


def _equal(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return ours.shape == theirs.shape and torch.equal(ours.to(theirs.dtype), theirs)


def _rounds(theirs: torch.Tensor, ours: torch.Tensor) -> bool:
    kept = theirs.to(ours.dtype).to(theirs.dtype)
    return not torch.equal(kept, theirs)


def _few(names: Sequence[str]) -> str:
    more = f" … {len(names)} in all" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
