"""A safetensors file written one tensor at a time, so that no process holds all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

# The format's names (huggingface/safetensors, "Format").
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
ENTRY = 256  # bytes of the header for a tensor's dtype, shape and place, at most


def write_tensors(
    path: Path,
    names: Sequence[str],
    tensors: Iterable[tuple[str, torch.Tensor]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `tensors`, which are on the CPU and have these `names`, as they come.

    `metadata` is what the format keeps beside them, under `__metadata__`.

    The header stands before them and is known only after them: room for it is left, and what it
    does not need is filled with spaces, as the format allows.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    needed = len(json.dumps(header)) + sum(len(json.dumps(name)) + ENTRY for name in names)
    room = -(-needed // 8) * 8 + 8
    with path.open("wb") as file:
        file.seek(8 + room)
        end = 0
        for name, tensor in tensors:
            data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
            begin, end = end, end + data.nbytes
            header[name] = {
                "dtype": DTYPES[tensor.dtype],
                "shape": list(tensor.shape),
                "data_offsets": [begin, end],
            }
            file.write(data.data)
        file.seek(0)
        said = json.dumps(header).encode()
        file.write(room.to_bytes(8, "little") + said.ljust(room))
