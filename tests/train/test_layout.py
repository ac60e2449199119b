"""The same samples in every layout under every strategy: one loss, one gradient norm, 1e-6 apart.

Real processes, started by torchrun; one process group runs all layouts of its strategies.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.processes import finished
from tests.train import layouts

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
MINUTES = 900  # many runs in one process group
GROUPS = [("ddp", "fsdp2"), ("zero1", "zero2", "zero3")]
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def alone(tiny, tmp_path_factory) -> dict:
    """What one process reports that has all the samples: 1×24 and 1×(4×6), padded and packed."""
    out = tmp_path_factory.mktemp("alone") / "out.json"
    layouts.main(str(tiny.root), str(out), "single")
    return json.loads(out.read_text())


@pytest.fixture(scope="module", params=GROUPS, ids="+".join)
def halves(tiny, request, tmp_path_factory) -> dict:
    """What two processes report: 2×12 and 2×(3×4), padded and packed."""
    out: Path = tmp_path_factory.mktemp("halves") / "out.json"
    worker = ("-m", "tests.train.layouts", str(tiny.root), str(out), *request.param)
    code, said = finished([*TORCHRUN, *worker], deadline_s=MINUTES)
    assert code == 0, said
    return json.loads(out.read_text())


def steps(found: dict) -> dict:
    return {name: row for name, row in found.items() if "loss" in row}


def check(found: dict, alone: dict) -> None:
    for name, got in steps(found).items():
        samples = name.split(": ")[1].split(" in ")[0]
        want = next(row for key, row in alone.items() if f" {samples} " in key)
        assert got["tokens"] == want["tokens"]
        assert got["losses"] == pytest.approx(want["losses"], rel=TOLERANCE, abs=0), name
        assert got["loss"] == pytest.approx(want["loss"], rel=TOLERANCE, abs=0), name
        assert got["grad_norm"] == pytest.approx(want["grad_norm"], rel=TOLERANCE, abs=0), name
        assert got["weights"] == pytest.approx(want["weights"], rel=1e-4, abs=1e-4), name


def test_micro_batches_and_packing_change_nothing_in_one_process(alone) -> None:
    assert len(steps(alone)) == len(layouts.LAYOUTS)
    check(alone, alone)
    for row in steps(alone).values():
        assert row["loss"][0] > row["loss"][-1], "it trains"
        assert min(row["grad_norm"]) > 0.5, "clipping is at work"


def test_two_processes_do_what_one_does_under_every_strategy(halves, alone) -> None:
    """Also where one has words alone and the other has media, from states and through encoders."""
    strategies = {name.split(":")[0] for name in halves}
    assert len(steps(halves)) == len(strategies) * len(layouts.LAYOUTS)
    check(halves, alone)


def test_a_loss_that_is_not_finite_stops_all_ranks_before_the_update(halves, alone) -> None:
    """Only the last rank has the sample; every rank names it, and no weight has moved."""
    found = {name: row for name, row in {**halves, **alone}.items() if "said" in row}
    assert len(found) == len({name.split(":")[0] for name in {**halves, **alone}})
    for name, row in found.items():
        assert row["same"], name
        for said in row["said"]:
            assert "step 1: the loss is not finite" in said, name
            assert row["sample"] in said, name
