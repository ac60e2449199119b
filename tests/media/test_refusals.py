"""Files that the system does not give: each reason with what helps against it."""

from __future__ import annotations

import errno
from pathlib import Path

import pyarrow.parquet
import pytest

from affect_mllm.data import rows
from affect_mllm.media.content import content_hash, version_of
from affect_mllm.media.refusals import unreadable
from affect_mllm.types import DataError


@pytest.mark.parametrize("read", [content_hash, version_of, rows.read_text])
def test_a_slip_in_a_name_is_told_with_the_file_that_was_meant(tmp_path: Path, read) -> None:
    (tmp_path / "manifest.jsonl").write_text("{}\n")
    with pytest.raises(DataError) as refused:
        read(tmp_path / "manifst.jsonl")
    assert f"{tmp_path / 'manifest.jsonl'} is there" in refused.value.fix
    with pytest.raises(DataError) as refused:
        read(tmp_path / "nothing/like/it.jsonl")
    assert refused.value.fix == "correct the path"


def test_a_folder_in_a_files_place_and_a_file_of_somebody_else(tmp_path: Path) -> None:
    folder = tmp_path / "rows.jsonl"
    folder.mkdir()
    with pytest.raises(DataError, match="name the file in this folder"):
        rows.read_text(folder)
    denied = PermissionError(errno.EACCES, "Permission denied")
    assert "right to read" in unreadable(folder, denied).fix
    assert "disk" in unreadable(folder, OSError(errno.EIO, "Input/output error")).fix
    assert "ulimit" in unreadable(folder, OSError(errno.EMFILE, "Too many open files")).fix
    assert unreadable(folder, OSError(errno.ELOOP, "Too many links")).fix == "correct the path"


def test_a_parquet_file_that_was_cut_off_and_one_that_is_not_there(tmp_path: Path) -> None:
    cut = tmp_path / "rows.parquet"
    cut.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="as Parquet") as refused:
        rows.read_text(cut)
    assert "write it again" in refused.value.fix
    pyarrow.parquet.write_table(pyarrow.table({"id": ["a", "b"]}), cut)
    torn = bytearray(cut.read_bytes())
    torn[4:24] = b"\xff" * 20  # pyarrow's OSError has no number then
    cut.write_bytes(torn)
    with pytest.raises(DataError, match="as Parquet") as refused:
        rows.read_text(cut)
    assert "write it again" in refused.value.fix
    with pytest.raises(DataError, match="cannot be read: ") as refused:
        rows.read_text(tmp_path / "row.parquet")
    assert f"{cut} is there" in refused.value.fix
