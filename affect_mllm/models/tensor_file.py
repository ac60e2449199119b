"""A safetensors file written one tensor at a time, so that no process holds all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """Write `tensors`, which have these `names`, as they come.

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
            data = tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
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


class Writes:
    """What goes into files now; or `later`, from copies, so that the tensors may change meanwhile.

    Copies lie on the CPU, in pinned memory where they come from a GPU: all are on their way at
    once. `do` does what was put off, in any thread.
    """

    def __init__(self, *, later: bool = False) -> None:
        self.later = later
        self._put_off: list[Callable[[], None]] = []

    def tensors(
        self,
        path: Path,
        names: Sequence[str],
        tensors: Iterable[tuple[str, torch.Tensor]],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """As `write_tensors`."""
        kept = [(name, self.kept(tensor)) for name, tensor in tensors] if self.later else tensors
        self.then(lambda: write_tensors(path, names, kept, metadata))

    def then(self, call: Callable[[], None]) -> None:
        """Call it when what came before it is done."""
        if self.later:
            self._put_off.append(call)
        else:
            call()

    def kept(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor as it is now: a copy if it is written later."""
        if not self.later:
            return tensor
        tensor = tensor.detach()
        on_gpu = tensor.is_cuda
        copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=on_gpu)
        return copy.copy_(tensor, non_blocking=on_gpu)

    def complete(self) -> None:
        """Wait for the copies: from here on the tensors may change."""
        if self.later and torch.cuda.is_available():
            torch.cuda.synchronize()

    def do(self) -> None:
        """What was put off."""
        while self._put_off:  # what is written is let go
            self._put_off.pop(0)()
