"""An experiment made tiny, as a YAML of what differs: weights, sizes, clips, a few steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from affect_mllm import config
from affect_mllm.tools.tiny.shrink import Tiny

HEAD = """# @package _global_
# `{name}` at tiny size: its classes, random weights. Its answers mean nothing.
defaults:
  - {name}
  - _self_

"""
# A tiny tokenizer makes more tokens of a text.
MAX_TOKENS = 2048


def tiny_experiment(
    name: str, weights: Path, *, manifest: Path, run_dir: Path, overrides: Sequence[str] = ()
) -> tuple[DictConfig, Tiny]:
    """The composed experiment, shrunk in place, and what was changed.

    Raises ConfigError for an experiment that does not exist.
    """
    given = {"run_dir": str(run_dir), "data.manifest": str(manifest)}
    quoted = {key: value.replace("'", "\\'") for key, value in given.items()}
    values = [f"experiment={name}", *(f"{key}='{value}'" for key, value in quoted.items())]
    cfg = config.compose("train", [*values, *overrides])
    tiny = Tiny(weights, plugins=[str(each) for each in cfg.plugins], changes=dict(given))
    tiny.shrink(cfg.model, "model")
    data: dict[str, Any] = {"data.max_tokens": max(MAX_TOKENS, cfg.data.max_tokens)}
    if cfg.data.cache_dir is not None:
        data["data.cache_dir"] = str(run_dir / "features")
    if cfg.data.reader.get("faces") is not None:
        data["data.reader.faces.detector"] = None
    for key, value in data.items():
        tiny.set(cfg, key, value, at=key)
    for stage in cfg.stages:
        steps = {"steps": 4, "batch_size": 4, "schedule.warmup_steps": 0, "init_from": "previous"}
        for key, value in steps.items():
            tiny.set(cfg.stages[stage], key, value, at=f"stages.{stage}.{key}")
    return cfg, tiny


def write_experiment(name: str, changes: Mapping[str, Any], path: Path) -> None:
    """The YAML of an experiment that is `name` with these changes, by their path."""
    values = OmegaConf.create()
    for key, value in changes.items():
        OmegaConf.update(values, key, value, force_add=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD.format(name=name) + OmegaConf.to_yaml(values), encoding="utf-8")
