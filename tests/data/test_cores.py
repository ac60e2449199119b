"""How many clips one process computes side by side."""

from __future__ import annotations

import os

import pytest

from affect_mllm.data import features


@pytest.mark.parametrize(
    ("told", "cores", "expected"),
    [(None, 8, 8), ("1", 8, 8), ("4", 8, 2), ("8", 2, 1), ("3", 8, 2), ("x", 8, 8)],
)
def test_the_ranks_of_a_node_share_its_cores(monkeypatch, told, cores, expected) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if told is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", told)
    assert features.cores_of_rank() == expected
