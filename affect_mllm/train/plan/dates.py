"""The day that prompts name: fixed when a run begins, for all its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from affect_mllm.data.chat import ChatFormat

Node = Mapping[str, Any]
FORMAT = f"{ChatFormat.__module__}.{ChatFormat.__qualname__}"


def fixed(
    data: Node,
    run_dir: Path,
    stages: Iterable[str],
    *,
    parent: Path | None,
    agree: Callable[[list[Any]], list[Any]] | None = None,
) -> dict[str, Any]:
    """The data settings with the day that their chat template takes for today.

    It is the one that the run's own checkpoints were begun with, be it none at all in old ones;
    before its first checkpoint that of `parent`; else today, by the first rank's clock (`agree`
    gathers one value of each rank; None: accelerate's). What the settings name stays. So a run that
    goes on the next day trains on the same prompts, and they are asked with later.
    """
    chat: Node = data.get("chat") or {"_target_": FORMAT, "_partial_": True}
    if chat.get("_target_") != FORMAT or chat.get("date") is not None:
        return dict(data)
    own = [path for stage in stages for path in sorted((run_dir / stage).glob("[!.]*/config.yaml"))]
    found = [_day(path) for path in own]
    if not found and parent is not None and (parent / "config.yaml").is_file():
        found = [each for each in [_day(parent / "config.yaml")] if each is not None]
    if agree is None:
        from accelerate.utils import gather_object as agree
    day = agree([found[0] if found else date.today().isoformat()])[0]
    return dict(data) if day is None else {**data, "chat": {**chat, "date": day}}


def _day(path: Path) -> str | None:
    found = OmegaConf.select(OmegaConf.load(path), "data.chat.date")
    return None if found is None else str(found)
