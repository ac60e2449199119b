"""Packing loses nothing, doubles nothing and keeps rows within their length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from affect_mllm.data.packing import pack


def test_rows_by_hand() -> None:
    """33 tokens need three rows of 12, the longest example; longest first, into the shortest."""
    assert pack([3, 9, 4, 1, 6, 12], 10) == [[1, 0], [4, 2, 3], [5]]


def test_zero_means_a_row_each() -> None:
    assert sorted(pack([3, 9, 4], 0)) == [[0], [1], [2]]


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(0, 60))
def test_every_example_once_and_no_row_too_long(lengths: list[int], limit: int) -> None:
    rows = pack(lengths, limit)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    for row in rows:
        assert sum(lengths[i] for i in row) <= max(limit, *lengths) or len(row) == 1
    assert rows == pack(lengths, limit)
