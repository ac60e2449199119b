"""Errors for libraries that cannot be loaded, files that a system or a backend does not read."""

from __future__ import annotations

import errno
from pathlib import Path

from affect_mllm.media.near import near
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


def unreadable(path: Path, error: OSError) -> DataError:
    """The error for a file that the system does not give, with what helps against its reason."""
    said = f"cannot be read: {error.strerror or error}"
    return DataError(str(path), said, fix=_way(path, error))


def unlike(path: Path, form: str, error: Exception) -> DataError:
    """The error for a file whose content is not of the `form` that its name promises."""
    reason = str(error).strip() or type(error).__name__
    return DataError(
        str(path),
        f"cannot be read as {form}: {reason}",
        fix="write it again as that: it was cut off, or holds something else under this name",
    )


def no_parquet(path: Path, error: Exception) -> DataError:
    """The error for what pyarrow raises: of a torn file, too, it is an OSError, but without a
    number.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return unreadable(path, error)
    return unlike(path, "Parquet", error)


def _way(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        found = near(path)
        return f"correct the path; {found} is there" if found else "correct the path"
    if error.errno == errno.EISDIR:
        return "name the file in this folder"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "give this user the right to read it, and to enter its folder"
    if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        return "correct the path"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "let processes open more files (ulimit -n), or take fewer workers"
    return "copy it anew: what complains is the disk that it lies on"
