"""NumPy archives with pickled dictionaries, read without executing anything that they name.

AffectGPT's and MERTools' label files are `np.savez_compressed(path, train_corpus={…})`: each entry
is an object array, which is a pickle. A pickle is a program; here only the few functions that
rebuild NumPy arrays and scalars may be named by it, everything else is refused before it is
imported.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from affect_mllm.media.lfs import IS_POINTER, PULL, is_pointer
from affect_mllm.types import DataError

# numpy.core became numpy._core in NumPy 2; a file names the one that wrote it.
_CORES = ("numpy.core", "numpy._core")


def _admitted() -> dict[tuple[str, str], Any]:
    """What a pickle may name → what it gets. NumPy's own helpers are had from what it pickles."""
    admitted: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        # How protocol 2 writes bytes: _codecs.encode(text, "latin1").
        ("_codecs", "encode"): _latin1,
        ("builtins", "set"): set,
        ("__builtin__", "set"): set,
    }
    for core in _CORES:
        admitted[f"{core}.multiarray", "_reconstruct"] = np.zeros(1).__reduce__()[0]
        admitted[f"{core}.multiarray", "scalar"] = np.float64(0).__reduce__()[0]
        admitted[f"{core}.numeric", "_frombuffer"] = np.zeros(1).__reduce_ex__(5)[0]
    return admitted


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
    return text.encode("latin-1")


_ADMITTED = _admitted()


class _DataOnly(pickle.Unpickler):
    """Admits nothing but what arrays, scalars and plain containers are made of."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _ADMITTED[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}") from None


def read_npz(path: Path) -> dict[str, Any]:
    """The entries of an npz: arrays, and what zero-dimensional object arrays hold.

    Nothing is executed. DataError when the file is no npz, or an entry names anything but
    arrays, scalars, strings and containers.
    """
    try:
        if is_pointer(path, path.stat().st_size):
            raise DataError(str(path), IS_POINTER, fix=PULL)
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            entries = {
                name.removesuffix(".npy"): _entry(path, name, archive.read(name)) for name in names
            }
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror}") from error
    except zipfile.BadZipFile as error:
        raise DataError(str(path), f"not an npz: {error}", expected="a NumPy archive") from error
    if not entries:
        raise DataError(str(path), "no arrays in it", expected="a NumPy archive")
    return entries


def _entry(path: Path, name: str, data: bytes) -> Any:
    file = io.BytesIO(data)
    try:
        array = _array(file)
    except (ValueError, EOFError, pickle.UnpicklingError, TypeError, IndexError) as error:
        raise DataError(
            f"{path}:{name}",
            f"refused: {error}",
            expected="arrays, numbers, strings and containers of them",
            fix="fetch the file from its publisher again; do not load it with allow_pickle=True",
        ) from error
    except (AttributeError, KeyError, UnicodeDecodeError) as error:
        raise DataError(f"{path}:{name}", f"damaged: {error!r}") from error
    return array.item() if array.dtype.hasobject and array.ndim == 0 else array


def _array(file: BinaryIO) -> np.ndarray:
    """One npy, as `numpy.lib.format` writes it; an object array's pickle goes to `_DataOnly`."""
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"npy version {version}")
    shape, _, dtype = read_header(file)
    if not dtype.hasobject:
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
    loaded = _DataOnly(file, encoding="latin1").load()
    if not isinstance(loaded, np.ndarray) or loaded.dtype != dtype or loaded.shape != shape:
        raise ValueError(f"a {type(loaded).__name__} in the place of an array")
    return loaded


def corpora(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """`{"train": {NAME: {"emo": …, "val": …}}}` of a label npz of MERTools and MER-UniBench.

    The entries are `{train,val,test,test1,test2,test3,whole}_corpus` (facts read in
    zeroQiaoba/MERTools@89120b7, MERBench/toolkit/preprocess). DataError for any other content.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for key, corpus in read_npz(path).items():
        split = key.removesuffix("_corpus")
        if split == key or not _is_corpus(corpus):
            raise DataError(
                f"{path}:{key}",
                "not a label corpus",
                expected="entries SPLIT_corpus: {name: {'emo': …, 'val': …}}",
            )
        found[split] = corpus
    return found


def _is_corpus(corpus: Any) -> bool:
    return isinstance(corpus, dict) and all(
        isinstance(name, str) and isinstance(labels, dict) and "emo" in labels
        for name, labels in corpus.items()
    )
