"""The variants of a group of conf/ as Hydra composes them: one may begin with another."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from affect_mllm import config


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (config.conf_dir() / group).glob("*.yaml"))


@cache
def _composed(group: str) -> dict[str, Any]:
    added = [f"+{group}@parts.{name}={name}" for name in names(group)]
    found: Any = OmegaConf.to_container(config.compose("train", ["experiment=demo", *added]).parts)
    return found


def variant(group: str, name: str) -> Any:
    """The plain mapping of a variant, the caller's own."""
    return copy.deepcopy(_composed(group)[name])
