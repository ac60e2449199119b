"""Encoder states that were extracted before: safetensors or `.npy`, nothing that executes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from affect_mllm.data.row_checks import STATE_MODALITIES
from affect_mllm.media.folder import entries
from affect_mllm.types import DataError

EXPECTED = "a .safetensors file, a .npy array, or a folder of them named by modality"


def read_states(path: Path, modality: str | None) -> dict[str, np.ndarray]:
    """The arrays of a row's `features`, by modality, as the file holds them.

    `modality` is that of a single array, None where tensors or files have the names of theirs.
    DataError for another file, other names, or numbers that are not finite.
    """
    if path.is_dir():
        files = [each for each in entries(path) if each.suffix in (".npy", ".safetensors")]
        found = {name: a for each in files for name, a in read_states(each, each.stem).items()}
    elif path.suffix == ".npy":
        from affect_mllm.media.openface import load_array

        found = {modality or path.stem: np.array(load_array(path))}
    elif path.suffix == ".safetensors":
        found = _tensors(path, modality)
    else:
        raise DataError(str(path), f"a file ending in {path.suffix!r}", expected=EXPECTED)
    unknown = sorted(set(found) - set(STATE_MODALITIES))
    if unknown or not found:
        raise DataError(
            str(path),
            f"states named {', '.join(unknown)}" if unknown else "no states",
            expected=f"names among {', '.join(STATE_MODALITIES)}",
            fix='name the modality in the row: "features": {"audio": "FILE.npy"}',
        )
    for name, array in found.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise DataError(
                str(path), f"{name}: {array.dtype}, not all finite", expected="finite numbers"
            )
    return found


def states_shapes(path: Path, modality: str | None) -> dict[str, list[int]]:
    """The shapes of what `read_states` gives, by the files' headers.

    DataError for a file that cannot be opened; names and values are checked when it is read.
    """
    if path.is_dir():
        files = [each for each in entries(path) if each.suffix in (".npy", ".safetensors")]
        return {name: s for each in files for name, s in states_shapes(each, each.stem).items()}
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                names = list(file.keys())
                shapes = {name: file.get_slice(name).get_shape() for name in names}
        except (OSError, SafetensorError) as error:
            raise DataError(str(path), f"cannot be read: {error}", expected=EXPECTED) from error
        if modality is not None and len(names) == 1:
            return {modality: shapes[names[0]]}
        return shapes
    from affect_mllm.media.openface import load_array

    return {modality or path.stem: list(load_array(path).shape)}


def _tensors(path: Path, modality: str | None) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            tensors = {name: file.get_tensor(name).float().numpy() for name in names}
    except (OSError, SafetensorError) as error:
        raise DataError(
            str(path), f"cannot be read as safetensors: {error}", expected=EXPECTED
        ) from error
    if modality is not None and len(names) == 1:
        return {modality: tensors[names[0]]}
    return tensors
