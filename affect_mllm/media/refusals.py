"""Errors for libraries that cannot be loaded, and for files that a backend does not decode."""

from __future__ import annotations

from pathlib import Path

from affect_mllm.types import DataError


def unavailable(name: str, error: Exception, *, fix: str) -> DataError:
    """The error for a library that is needed and cannot be loaded."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return DataError(
        name,
        f"cannot be loaded ({reason})",
        expected=f"{name} installed and working",
        fix=fix,
    )


def undecodable(name: str, path: Path, reason: Exception | str) -> DataError:
    """The error for a file that PyAV opens and the backend `name` does not decode."""
    first = (str(reason).strip() or type(reason).__name__).splitlines()[0]
    return DataError(str(path), f"{name} cannot decode it ({first})", fix="use backend=pyav")
