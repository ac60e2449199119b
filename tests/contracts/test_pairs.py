"""Every experiment goes with every launch: it composes, checks, is built and takes its steps.

Each experiment and each launch once; `AFFECT_SOAK=1` (`make soak`) pairs all with all.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from affect_mllm import config
from tests import tiny_experiments
from tests.processes import finished

EXPERIMENTS = sorted(path.stem for path in (config.conf_dir() / "experiment").glob("*.yaml"))
LAUNCHES = sorted(path.stem for path in (config.conf_dir() / "launch").glob("*.yaml"))
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m")


def pairs() -> list[tuple[str, list[str]]]:
    """Each launch with its experiments: all of them, or so that every name appears once."""
    if os.environ.get("AFFECT_SOAK"):
        return [(launch, EXPERIMENTS) for launch in LAUNCHES]
    return [(launch, EXPERIMENTS[i :: len(LAUNCHES)]) for i, launch in enumerate(LAUNCHES)]


def test_every_experiment_and_every_launch_is_tried() -> None:
    tried = pairs()
    assert [launch for launch, _ in tried] == LAUNCHES
    assert {name for _, names in tried for name in names} == set(EXPERIMENTS)


@pytest.mark.parametrize(("launch", "names"), pairs(), ids=lambda value: str(value))
def test_a_pair_takes_its_steps_and_leaves_nothing(launch, names, tiny, tmp_path: Path) -> None:
    files = []
    for name in names:
        cfg = tiny_experiments.experiment(tiny, name, tmp_path / "runs" / name, launch=launch)
        cfg.dry_run, cfg.launch.persistence_threshold = True, 0
        files.append(str(tmp_path / f"{name}.yaml"))
        OmegaConf.save(cfg, files[-1])
    start = () if launch == "single" else TORCHRUN
    arguments = ["-m", *start, "tests.contracts.pairs", *files]
    code, said = finished(arguments, ACCELERATE_USE_CPU="true")
    assert code == 0, said
    assert not (tmp_path / "runs").exists(), sorted((tmp_path / "runs").rglob("*"))
