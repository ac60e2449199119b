"""An experiment's model without weights, and what a nominal clip means to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import DictConfig

from affect_mllm import config
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.plan.stage import Stage
from affect_mllm.types import Patches

SIZE = (360, 640)  # height and width of the nominal picture


@dataclass(frozen=True)
class Blueprint:
    """The composed experiment, its model on the meta device, and its stages."""

    cfg: DictConfig
    model: AffectMLLM
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Nominal:
    """One modality of a nominal clip: encoder states, tokens in the sequence, patch grid.

    `input` is the shape of what its encoder reads; None for patches and for a fusion. `positions`
    is how many its encoder computes (`Encoder.positions`).
    """

    states: int
    tokens: int
    grid: tuple[int, int, int] | None
    input: tuple[int, ...] | None = None
    positions: int = 0


def blueprint(overrides: Sequence[str]) -> Blueprint:
    """Compose, check and build `overrides` from the parts' configs alone.

    Raises ConfigError for what does not check, CheckpointError for a part whose config is neither
    in a folder nor can be reached.
    """
    import torch

    from affect_mllm.models.pretrained import weightless

    cfg = config.checked(config.compose("train", overrides))
    with torch.device("meta"), weightless():
        model = config.build(cfg.model, plugins=cfg.plugins)
    chosen = [cfg.stage.name] if cfg.get("stage") else list(cfg.stages)
    stages = (config.build(cfg.stages[name], plugins=cfg.plugins) for name in chosen)
    return Blueprint(cfg, model, tuple(stages))


def nominal(plan: Blueprint, clip_s: float) -> dict[str, Nominal]:
    """What a clip of `clip_s` seconds, 640 × 360 pixels, becomes in each modality.

    Its frames are as many as the reader's sampling takes of it.
    """
    sampling = config.build(plan.cfg.data.reader.sampling, plugins=plan.cfg.plugins)
    frames = len(sampling.moments(0.0, clip_s))
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (frames, *SIZE, 3), dtype=np.uint8)
    sound = rng.standard_normal(max(1, round(clip_s * 16_000))).astype(np.float32)
    rules = plan.model.span_lengths()
    found = {}
    for name, transform in plan.model.transforms().items():
        width = getattr(transform, "width", 0)  # a feature file's: one state a frame
        given: Any = sound if name == "audio" else pictures[: 1 if name == "image" else frames]
        item = transform(rng.standard_normal((frames, width)) if width else given)
        if isinstance(item, Patches):
            item = item.timed(sampling.moments(0.0, clip_s))
        found[name] = _nominal(plan.model, name, item, rules[name])
    if "multi" in rules:
        rule: Any = rules["multi"]
        found["multi"] = Nominal(1, rule, None)
    return found


def _nominal(model: AffectMLLM, name: str, item: Any, rule: Any) -> Nominal:
    tokens = rule if isinstance(rule, int) else rule(item).tokens
    encoder = model._encoder(model.branches[name])
    positions = encoder.positions()(item)
    if isinstance(item, Patches):
        return Nominal(len(item.values), tokens, item.grid, None, positions)
    return Nominal(encoder.state_count()(item), tokens, None, item.shape, positions)
