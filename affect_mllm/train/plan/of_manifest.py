"""What a stage leaves to the manifest: how many steps, whether rows are held out, which labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from affect_mllm.data import label_file, manifest
from affect_mllm.data.label_questions import filled
from affect_mllm.log import LOGGER
from affect_mllm.targets import resolve
from affect_mllm.train.loss.labels import MediaLabels
from affect_mllm.types import ConfigError, DataError, Sample

Node = Mapping[str, Any]


def settled(
    data: Node, stages: Mapping[str, Node], *, plugins: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A run's data and stages with nothing left open.

    Questions are `label_questions.filled`'s. With `epochs` a stage takes so many passes over its
    rows and questions, at most `steps`. A validation with `if_any` goes, and `best` with it, where
    its split has no rows. `MediaLabels` without labels is given the classes and numbers of
    `data.manifest`; where there are none, or no row has media, it goes, and so does a stage that
    has no other loss. Raises ConfigError where no stage is left, and as `filled` does.
    """
    held = {name: _held_out(name, dict(node)) for name, node in stages.items()}
    data, asked = filled(data, held, plugins=plugins)
    path = data.get("manifest")
    found = {name: _stage(name, node, path, plugins) for name, node in asked.items()}
    left = {name: node for name, node in found.items() if node is not None}
    if not left:
        raise ConfigError("stages", "none has anything to learn from", expected="a loss")
    return data, left


def _stage(
    name: str, node: Node, path: str | None, plugins: Sequence[str]
) -> dict[str, Any] | None:
    made = dict(node)
    given = (made.get("losses") or {}).items()
    losses = {key: _loss(each, path, plugins) for key, each in given}
    if losses:
        made["losses"] = {key: each for key, each in losses.items() if each is not None}
        if not made["losses"]:
            LOGGER.info("stage %s: left out, its losses want labels that are not there", name)
            return None
    if made.get("epochs") is not None:
        made["steps"] = _steps(made)
    return made


def _held_out(name: str, node: dict[str, Any]) -> dict[str, Any]:
    validation = node.get("validation")
    if not validation or not validation.get("if_any"):
        return node
    sources = validation["sources"].values()
    if all(s["split"] in manifest.read(Path(s["manifest"])).table.splits for s in sources):
        return node
    LOGGER.info("stage %s: no rows to validate on, so its last weights are its result", name)
    best = node.get("best") if node.get("benchmarks") else None
    return {**node, "validation": None, "best": best}


def _steps(node: Node) -> int:
    """At least one, at most the stage's own."""
    draws = 0
    for source in node["sources"].values():
        rows = manifest.read(Path(source["manifest"]), split=source["split"])
        having = rows.having(source["has"]) if source.get("has") else rows
        draws += len(having) * len(source["instructions"])
    wanted = math.ceil(node["epochs"] * draws / node.get("batch_size", 16))
    return max(1, min(node["steps"], wanted))


def _loss(node: Node, path: str | None, plugins: Sequence[str]) -> Node | None:
    if resolve(node.get("_target_"), plugins) is not MediaLabels:
        return node
    if node.get("classes") or node.get("scales"):
        return node
    if path is None:
        raise ConfigError(
            "losses", "MediaLabels without labels", expected="data.manifest, or `classes`"
        )
    try:
        labels = label_file.read(Path(path))
    except DataError as error:
        LOGGER.info("no labels for heads on media tokens: %s", error)
        return None
    classes = {
        n: list(label.classes)
        for n, label in labels.items()
        if label.kind == "classes" and len(label.classes) > 1
    }
    scales = {n: list(label.scale) for n, label in labels.items() if label.kind == "number"}
    if not (classes or scales) or not any(row.media or row.clips for row in _rows(path)):
        return None
    return {**node, "classes": classes, "scales": scales}


def _rows(path: str) -> Iterable[Sample]:
    return manifest.read(Path(path))
