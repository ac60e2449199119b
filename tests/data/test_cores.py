"""How many clips one process computes side by side, and on how many threads its workers do."""

from __future__ import annotations

import os

import pytest
import torch

from affect_mllm.data import features
from affect_mllm.data.ahead import Ahead


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


def threads(_item: int) -> int:
    return torch.get_num_threads()


def test_workers_of_training_and_cache_compute_on_one_thread_each() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert [*Ahead(threads, range(2), workers=2)] == [1, 1]
        assert [*Ahead(threads, range(1), workers=0)] == [3], "without workers nothing is changed"
    finally:
        torch.set_num_threads(before)
