"""Which stages of an experiment run, and from which checkpoint each starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affect_mllm.train.plan.stage import Stage
from affect_mllm.types import ConfigError


def selected(
    stages: Mapping[str, Mapping[str, Any]],
    *,
    only: Mapping[str, Any] | str | None = None,
    begin: Mapping[str, Any] | str | None = None,
) -> list[str]:
    """The names of the stages to run: one (`stage`), those from one on (`from_stage`), or all.

    Raises ConfigError for one that there is not, for both at once, or for a stage whose name is not
    its key: folders and "the stage before" go by that name.
    """
    names = list(stages)
    for key, node in stages.items():
        if node.get("name") != key:
            raise ConfigError(
                f"stages.{key}.name",
                str(node.get("name")),
                expected=f"{key}, as the stage is called here",
                fix=f"set stages.{key}.name={key}",
            )
    if only is not None and begin is not None:
        raise ConfigError("from_stage", "together with stage", fix="give one of them")
    if only is not None:
        return [_known("stage", only, names)]
    return names if begin is None else names[names.index(_known("from_stage", begin, names)) :]


def parent(stage: Stage, names: Sequence[str], run_dir: Path) -> Path | None:
    """The checkpoint that a stage starts from, or None for the first of `names`."""
    if stage.init_from != "previous":
        return Path(stage.init_from)
    before = names.index(stage.name)
    return None if before == 0 else run_dir / names[before - 1] / "final"


def _known(key: str, wanted: Mapping[str, Any] | str, names: Sequence[str]) -> str:
    name = wanted if isinstance(wanted, str) else str(wanted["name"])
    if name not in names:
        raise ConfigError(key, name, expected=f"one of {list(names)}")
    return name
