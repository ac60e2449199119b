"""Every experiment at tiny size: its own classes and settings, random weights, real clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from affect_mllm import config
from affect_mllm.tools.tiny.experiment import tiny_experiment
from affect_mllm.tools.tiny.shrink import Tiny as Small
from tests.tiny import Tiny


def experiment(
    tiny: Tiny,
    name: str,
    run_dir: Path,
    *,
    launch: str = "single",
    manifest: Path | None = None,
    overrides: Sequence[str] = (),
) -> DictConfig:
    """The composed, shrunk and checked configuration of an experiment, one step a stage."""
    manifest = manifest or tiny.root / "manifest.jsonl"
    cfg, _ = tiny_experiment(
        name,
        tiny.root / "weights",
        manifest=manifest,
        run_dir=run_dir,
        overrides=[f"launch={launch}", *overrides],
    )
    _plain(cfg.model)
    OmegaConf.set_struct(cfg, False)
    cfg.data.reader.sampling = {
        "_target_": "affect_mllm.media.sampling.Sampling",
        "kind": "uniform",
        "frames": 2,
    }
    cfg.launch = {**cfg.launch, "precision": "fp32", "workers": 0}
    for stage in cfg.stages.values():
        stage.steps, stage.batch_size = 1, 3
    return config.checked(cfg)


def shrink(tiny: Tiny, node: Any) -> None:
    """Make `node` and all below it tiny, in place, in float32."""
    Small(tiny.root / "weights").shrink(node)
    _plain(node)


def _plain(node: Any) -> None:
    """Exact everywhere: in float32, by the attention that every machine has."""
    if not isinstance(node, DictConfig):
        return
    for value in list(node.values()):
        _plain(value)
    with open_dict(node):
        if "dtype" in node:
            node.update(dtype="float32", attention="sdpa")
        if str(node.get("_target_", "")).endswith(".AffectMLLM"):
            node.fast_encoders = False
