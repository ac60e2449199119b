"""Optimiser and random state as safetensors and JSON, which any number of ranks can read.

What is split over ranks each of them writes as it holds it, with its place in the whole as
torch.distributed.checkpoint's safetensors have it; that library reads it, however it is split then.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from affect_mllm.models.tensor_file import Writes
from affect_mllm.types import CheckpointError

MOMENTS, NUMBERS, SCALE = "optimizer", "optimizer.json", "scale.json"
# The names that torch.distributed.checkpoint gives a part's place in a safetensors file.
PLACES, SAVED_OFFSETS = "DCP_SHARDING_INFO", "saved_offsets"
Scale = tuple[float, int]


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself, gathered if it is split over ranks."""
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part of a tensor that is split over ranks, or all of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def moments(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimiser's state as `kind/parameter`: tensors as they are held, and plain numbers.

    Raises CheckpointError for what is neither: left out, a resumed run would be another one.
    """
    found: dict[str, Any] = {}
    for name, held in _held(module, optimizer):
        for kind, value in sorted(held.items()):
            if not isinstance(value, torch.Tensor | int | float):
                raise CheckpointError(
                    f"{type(optimizer).__name__}'s state {kind!r} of {name}",
                    type(value).__name__,
                    expected="a tensor or a number",
                    fix="choose another optimiser: this one's state cannot be saved",
                )
            found[f"{kind}/{name}"] = value
    return found


def write_moments(
    folder: Path, found: dict[str, Any], scale: Scale, writes: Writes, *, rank: int = 0
) -> None:
    """Put this rank's part into `folder`; rank 0's has what is not split, and the loss scale."""
    own = {
        key: value
        for key, value in found.items()
        if (local(value).numel() if isinstance(value, DTensor) else not rank and _is_tensor(value))
    }
    places = {key: {SAVED_OFFSETS: _place(value)} for key, value in own.items()}
    parts = ((key, local(value.detach())) for key, value in own.items())
    said = {PLACES: json.dumps(places)}
    (folder / MOMENTS).mkdir(exist_ok=True)
    writes.tensors(folder / MOMENTS / f"{rank:05d}.safetensors", list(own), parts, metadata=said)
    if rank == 0:
        numbers = {key: value for key, value in found.items() if not _is_tensor(value)}
        (folder / NUMBERS).write_text(json.dumps(numbers))
        (folder / SCALE).write_text(json.dumps(scale))


def read_moments(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> Scale:
    """Give the optimiser back its state; returns the loss scale. All ranks read together.

    Raises CheckpointError when it is of other parameters.
    """
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint import HuggingFaceStorageReader

    if not (folder / MOMENTS).is_dir():
        raise CheckpointError(
            str(folder),
            f"has no folder {MOMENTS}: another version wrote it",
            fix="resume with that version, or remove this checkpoint",
        )
    reader = HuggingFaceStorageReader(str(folder / MOMENTS))
    numbers: dict[str, Any] = json.loads((folder / NUMBERS).read_text())
    kept = reader.read_metadata().state_dict_metadata
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    strange = {key.split("/", 1)[1] for key in (*kept, *numbers)} - set(parameters)
    if strange:
        raise CheckpointError(
            str(folder),
            f"is of parameters that do not train here, such as {min(strange)}",
            fix="resume with the stage's settings, or remove this checkpoint",
        )
    tensors = {key: _empty(told, parameters[key.split("/", 1)[1]]) for key, told in kept.items()}
    with warnings.catch_warnings():  # that there is one process alone
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        dcp.load(tensors, storage_reader=reader)
    fused = {p for g in optimizer.param_groups if g.get("fused") for p in g["params"]}
    for key, value in {**tensors, **numbers}.items():
        kind, name = key.split("/", 1)
        parameter = parameters[name]
        # AdamW counts its steps on the CPU
        as_it_is = not _is_tensor(value) or (value.ndim == 0 and parameter not in fused)
        optimizer.state[parameter][kind] = value if as_it_is else value.to(parameter.device)
    factor, steps = json.loads((folder / SCALE).read_text())
    return float(factor), int(steps)


def write_random(folder: Path, rank: int) -> None:
    """The state of every random generator of this process."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    state = {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
        "cuda": None if cuda is None else cuda.cpu().numpy().tobytes().hex(),
    }
    (folder / f"random-{rank:05d}.json").write_text(json.dumps(state))


def read_random(folder: Path, rank: int) -> None:
    """Set the generators as `write_random` found them; a rank without a file keeps its own."""
    path = folder / f"random-{rank:05d}.json"
    if not path.is_file():
        return
    state = json.loads(path.read_text())
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(_bytes(state["torch"]))
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(_bytes(state["cuda"]))


def _bytes(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)


def _held(
    module: nn.Module, optimizer: torch.optim.Optimizer
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and parameter in optimizer.state:
            yield name, optimizer.state[parameter]


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _place(value: torch.Tensor) -> list[int]:
    """Where this rank's part begins in the whole."""
    if not isinstance(value, DTensor):
        return [0] * value.ndim
    mesh, placements = value.device_mesh, value.placements
    return list(compute_local_shape_and_global_offset(value.shape, mesh, placements)[1])


def _empty(told: Any, parameter: nn.Parameter) -> torch.Tensor:
    """To be filled: split as the parameter is if it has its shape; else whole, on the CPU."""
    dtype = told.properties.dtype
    if isinstance(parameter, DTensor) and told.size == parameter.shape:
        return torch.empty_like(parameter.data, dtype=dtype)
    return torch.empty(told.size, dtype=dtype)
