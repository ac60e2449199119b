"""Reader of CTranslate2's `model.bin`: named arrays behind a small binary header.

The layout (version 6) is that of CTranslate2's model specification: strings carry their length in
a uint16 and end in a zero byte; each variable is name, rank, shape, a dtype code, a byte count and
the bytes; a table of aliases ends the file.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from affect_mllm.types import CheckpointError

if TYPE_CHECKING:
    import numpy as np

BINARY_VERSION = 6
DTYPES = ("float32", "int8", "int16", "int32", "float16")


class _Cursor:
    """Bytes read from the front."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where, self.at = data, where, 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise CheckpointError(
                self.where, "the file ends early", fix="fetch it again: affect-mllm assets --force"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> int:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def text(self) -> str:
        return self.take(self.number("H"))[:-1].decode("utf-8")


def read(parts: list[Path], *, spec: str) -> dict[str, np.ndarray]:
    """Arrays by name from a `model.bin` that may be cut into `parts`; aliases are resolved.

    Raises CheckpointError when the file is not version 6, not of `spec`, or ends early.
    """
    cursor = _Cursor(b"".join(part.read_bytes() for part in parts), str(parts[0]))
    version, name = cursor.number("I"), cursor.text()
    if (version, name) != (BINARY_VERSION, spec):
        raise CheckpointError(
            str(parts[0]), f"{name} version {version}", expected=f"{spec} version {BINARY_VERSION}"
        )
    cursor.number("I")  # the revision of the specification
    arrays = dict(_variable(cursor) for _ in range(cursor.number("I")))
    for _ in range(cursor.number("I")):
        alias, target = cursor.text(), cursor.text()
        arrays[alias] = arrays[target]
    return arrays


def _variable(cursor: _Cursor) -> tuple[str, np.ndarray]:
    import numpy as np

    name = cursor.text()
    shape = [cursor.number("I") for _ in range(cursor.number("B"))]
    code = cursor.number("B")
    if code >= len(DTYPES):
        raise CheckpointError(cursor.where, f"{name} has dtype code {code}", expected="0 to 4")
    raw = cursor.take(cursor.number("I"))
    return name, np.frombuffer(raw, dtype=np.dtype(DTYPES[code])).reshape(shape)
