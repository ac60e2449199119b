"""Other projects' weight files as tensors by name; nothing in a file is executed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from affect_mllm.types import CheckpointError

Tensors = dict[str, torch.Tensor]


def read_tensors(path: Path) -> tuple[Tensors, Any]:
    """The `model` tensors of a .pth and its `config`, by torch's restricted unpickler, which runs
    no code of it.

    Raises CheckpointError for anything else than tensors and plain data.
    """
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(
            str(path),
            error.strerror or str(error),
            fix="give the path of the .pth that was downloaded",
        ) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(
            str(path),
            f"not a file of tensors and plain data{_reason(error)}",
            expected="what torch.load reads with weights_only=True; code in it is never run",
        ) from error
    weights = whole.get("model") if isinstance(whole, dict) else None
    if not isinstance(weights, dict) or not all(
        isinstance(t, torch.Tensor) for t in weights.values()
    ):
        raise CheckpointError(
            str(path),
            "no dictionary of tensors under `model`",
            fix="give the .pth that AffectGPT's training wrote, whole",
        )
    return weights, whole.get("config")


def _reason(error: Exception) -> str:
    """What was wrong, without torch's advice to read the file by running its code."""
    said = str(error).splitlines()[0]
    return "" if "weights_only" in said else f" ({said})"


def read_folder(folder: Path) -> Tensors:
    """The tensors of all .safetensors files of a folder, mapped rather than read.

    Raises CheckpointError where there is none, one cannot be read, or two hold the same name.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found: Tensors = {}
    for path in shards(folder):
        try:
            part = load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(str(path), str(error), fix="download this file again") from error
        twice = sorted(set(part) & set(found))
        if twice:
            raise CheckpointError(
                str(path),
                f"{twice[0]}, which another file of the folder has",
                fix="take files of another download or format out of the folder",
            )
        found |= part
    return found


def shards(folder: Path) -> list[Path]:
    """The folder's .safetensors files in order of name. Raises CheckpointError for none."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise CheckpointError(
            str(folder),
            "no .safetensors file" if folder.is_dir() else "no such folder",
            expected="a folder as save_pretrained writes it, with safe_serialization",
        )
    return paths
