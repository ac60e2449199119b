"""One job on two hosts: the same steps as on one, over a network of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from affect_mllm.models import checkpoint
from tests.hosts import ADDRESSES, lacks, two_hosts
from tests.processes import DEADLINE_S, ROOT
from tests.train.weights import assert_same

LACKING = lacks()


def rows(run_dir: Path) -> list[dict]:
    return [json.loads(x) for x in (run_dir / "align/metrics.jsonl").read_text().splitlines()]


def torchrun(rank: int) -> list[str]:
    where = f"--master_addr {ADDRESSES[0]} --master_port 29533 --node_rank {rank}"
    return f"-m torch.distributed.run --nnodes 2 --nproc_per_node 1 {where} train.py".split()


@pytest.mark.skipif(LACKING is not None, reason=str(LACKING))
def test_torchrun_on_two_hosts_trains_as_one_process_does(tiny, tiny_run, tmp_path) -> None:
    overrides = tiny.overrides(tmp_path, "launch=ddp", "launch.processes=2", "stage=align")
    with two_hosts() as hosts:
        jobs = [
            subprocess.Popen(
                ["ip", "netns", "exec", name, sys.executable, *torchrun(rank), *overrides],
                cwd=ROOT,
                env={
                    **os.environ,
                    "ACCELERATE_USE_CPU": "true",
                    "OMP_NUM_THREADS": "1",
                    "GLOO_SOCKET_IFNAME": interface,
                },
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            for rank, (name, interface) in enumerate(hosts)
        ]
        try:
            said = [job.communicate(timeout=DEADLINE_S)[1] for job in jobs]
        finally:
            for job in jobs:
                job.kill()
    assert [job.returncode for job in jobs] == [0, 0], "\n".join(said)
    one, two = rows(tiny_run), rows(tmp_path)
    assert [row["step"] for row in two] == [row["step"] for row in one]
    assert [r["loss"] for r in two] == pytest.approx([r["loss"] for r in one], rel=1e-5)
    assert [r["grad_norm"] for r in two] == pytest.approx([r["grad_norm"] for r in one], rel=1e-3)
    expected, got = (
        load_file(folder / "align/final" / checkpoint.WEIGHTS) for folder in (tiny_run, tmp_path)
    )
    assert_same(got, expected)
