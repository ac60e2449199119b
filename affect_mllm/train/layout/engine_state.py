"""Optimiser and random state as safetensors and JSON, whole: any number of ranks can read it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from affect_mllm.types import CheckpointError

MOMENTS, NUMBERS, SCALE = "optimizer.safetensors", "optimizer.json", "scale.json"
Scale = tuple[float, int]


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself, gathered if it is split over ranks."""
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part of a tensor that is split over ranks, or all of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def moments(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimiser's state as `kind/parameter`: tensors, whole and on the CPU, and plain numbers.

    Raises CheckpointError for what is neither: left out, a resumed run would be another one.
    """
    found: dict[str, Any] = {}
    for name, held in _held(module, optimizer):
        for kind, value in sorted(held.items()):
            if isinstance(value, torch.Tensor):
                # A copy: some optimisers share a table among all parameters, safetensors cannot.
                value = whole(value).cpu().clone(memory_format=torch.contiguous_format)
            elif not isinstance(value, int | float):
                raise CheckpointError(
                    f"{type(optimizer).__name__}'s state {kind!r} of {name}",
                    type(value).__name__,
                    expected="a tensor or a number",
                    fix="choose another optimiser: this one's state cannot be saved",
                )
            found[f"{kind}/{name}"] = value
    return found


def write_moments(folder: Path, found: dict[str, Any], scale: Scale) -> None:
    """Put them and the loss scale into `folder`."""
    from safetensors.torch import save_file

    tensors = {key: value for key, value in found.items() if isinstance(value, torch.Tensor)}
    save_file(tensors, folder / MOMENTS)
    numbers = {key: value for key, value in found.items() if key not in tensors}
    (folder / NUMBERS).write_text(json.dumps(numbers))
    (folder / SCALE).write_text(json.dumps(scale))


def read_moments(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> Scale:
    """Give the optimiser back its state; returns the loss scale.

    Raises CheckpointError when it is of other parameters.
    """
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(folder / MOMENTS)
    found |= json.loads((folder / NUMBERS).read_text())
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    strange = {key.split("/", 1)[1] for key in found} - set(parameters)
    if strange:
        raise CheckpointError(
            str(folder / MOMENTS),
            f"is of parameters that do not train here, such as {min(strange)}",
            fix="resume with the stage's settings, or remove this checkpoint",
        )
    fused = {p for g in optimizer.param_groups if g.get("fused") for p in g["params"]}
    for key, value in found.items():
        kind, name = key.split("/", 1)
        parameter = parameters[name]
        number = not isinstance(value, torch.Tensor)
        # AdamW counts its steps on the CPU
        as_it_is = number or (value.ndim == 0 and parameter not in fused)
        optimizer.state[parameter][kind] = value if as_it_is else _like(value, parameter)
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


def _like(tensor: torch.Tensor, parameter: nn.Parameter) -> torch.Tensor:
    """On the parameter's device, and split as it is if it has its shape."""
    held: Any = parameter.data
    if isinstance(held, DTensor) and tensor.shape == held.shape:
        return distribute_tensor(tensor.to(held.device), held.device_mesh, held.placements)
    return tensor.to(parameter.device)
