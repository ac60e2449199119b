"""A manifest's own labels as questions, and the questions of a source that names none.

What is made here are nodes of a configuration: they are written into the checkpoints of a run,
which so need no manifest to be asked with the same words later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from affect_mllm import config
from affect_mllm.data import label_file, manifest
from affect_mllm.data.label_space import Label
from affect_mllm.data.template import Conversation, Instruction
from affect_mllm.log import LOGGER
from affect_mllm.types import ConfigError

Node = Mapping[str, Any]
ALL = "all"
OPEN_ABOVE = 30  # words of a list: more are not listed in a question
# What a question is called, where not as its label.
NAMES = {"emotion": "label", "emotions": "open_vocabulary", "description": "describe"}
# The file of conf/instruction with the words for a label; for others there is one for each kind.
_WORDS = {
    "emotion": "closed_label",
    "valence": "valence",
    "arousal": "arousal",
    "intensity": "intensity",
    "description": "description",
}


def question(key: str, label: Label) -> dict[str, Any]:
    """The node of an Instruction that asks for a label, with its classes or its scale."""
    node = _words(_WORDS.get(key, f"own_{label.kind}"))
    if label.kind == "list" and len(label.classes) > OPEN_ABOVE:
        node = _words("open_vocabulary")
    elif label.kind in ("classes", "list"):
        node["allowed"] = list(label.classes)
    if label.kind == "number" and key not in _WORDS:
        node["scale"] = list(label.scale)
    node["answer"] = "{" + key + "}"
    if label.kind == "number":
        node["answer"] = "{" + f"{key}:.{label.decimals if key not in _WORDS else 2}f" + "}"
    return node


def filled(
    data: Node, stages: Mapping[str, Node], *, plugins: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's data and stages with nothing left to a manifest.

    `data.ask_labels` becomes questions in `data.instructions`, where a question that is written
    there stays as it is; a source of a stage that names no instructions gets all of them, those
    that only some of its rows can answer by a source of their own rows, with an equal share. Raises
    ConfigError for labels that the manifest does not have, and for a source without any question.
    """
    asked = {**data, "instructions": {**_of_labels(data), **data.get("instructions", {})}}
    asked["ask_labels"] = []
    known = config.build(
        {"instructions": asked["instructions"]}, plugins=plugins, where="data.instructions"
    )["instructions"]
    return asked, {name: _stage(name, stage, known) for name, stage in stages.items()}


def _of_labels(data: Node) -> dict[str, dict[str, Any]]:
    wanted = list(data.get("ask_labels") or ())
    if not wanted:
        return {}
    if data.get("manifest") is None:
        raise ConfigError(
            "data.manifest",
            "null, but data.ask_labels asks for its labels",
            fix="name it: data.manifest=FILE",
        )
    path = Path(data["manifest"])
    labels = label_file.read(path)
    if unknown := sorted({*wanted} - {ALL, *labels}):
        raise ConfigError(
            "data.ask_labels", f"{unknown}", expected=f"some of {list(labels)} of {path}, or [all]"
        )
    found: dict[str, dict[str, Any]] = {}
    for key, label in labels.items():
        if ALL in wanted or key in wanted:
            name = NAMES.get(key, key)
            node = question(key, label)
            if data.get("language") is not None:
                node["language"] = data["language"]
            found[f"{name}_" if name in found else name] = node
    return found


def _stage(name: str, stage: Node, known: Mapping[str, Any]) -> dict[str, Any]:
    result = {**stage, "sources": _sources(f"stages.{name}.sources", stage["sources"], known)}
    if stage.get("validation"):
        where = f"stages.{name}.validation.sources"
        own = _sources(where, stage["validation"]["sources"], known)
        result["validation"] = {**stage["validation"], "sources": own}
    return result


def _sources(where: str, sources: Any, known: Mapping[str, Any]) -> Any:
    if not isinstance(sources, Mapping):
        return sources  # which the stage refuses, with what to write
    found: dict[str, Any] = {}
    for name, source in sources.items():
        if source.get("instructions") == {}:
            found |= _source(f"{where}.{name}", name, source, known)
        else:
            found[name] = source
    return found


def _source(where: str, name: str, source: Node, known: Mapping[str, Any]) -> dict[str, Any]:
    """The source with all questions, and one for each question that only some rows can answer."""
    rows = manifest.read(Path(source["manifest"]), split=source["split"])
    of_all: dict[str, float] = {}
    of_some: dict[str, tuple[str, ...]] = {}
    for asked, instruction in known.items():
        keys = tuple(_labels_of(instruction))
        able = len(rows.having(keys)) if keys else len(rows)
        if able == len(rows):
            of_all[asked] = 1.0
        elif able:
            of_some[asked] = keys
        if able < len(rows):
            LOGGER.info(
                "%s: %d of %d rows of split %s have what %r asks for",
                where, able, len(rows), source["split"], asked,
            )  # fmt: skip
    if not of_all and not of_some:
        raise ConfigError(
            f"{where}.instructions",
            f"none, and no row of {source['manifest']} has the labels of {list(known) or 'any'}",
            expected="questions in data.instructions that the rows have answers to",
            fix="look at the columns with `affect-mllm manifest --label NAME`, or set "
            "data.ask_labels=[all]",
        )
    made = {}
    if of_all:
        made[name] = {**source, "instructions": of_all, "weight": _times(source, len(of_all))}
    for number, (asked, keys) in enumerate(of_some.items(), 1):
        made[f"{name}_some_{number}"] = {**source, "instructions": {asked: 1.0}, "has": list(keys)}
    return made


def _times(source: Node, share: int) -> Any:
    weight = source.get("weight", 1.0)
    if isinstance(weight, Mapping):
        return {step: each * share for step, each in weight.items()}
    return weight * share


def _labels_of(instruction: Instruction | Conversation) -> Iterable[str]:
    return () if isinstance(instruction, Conversation) else instruction.labels_used


def _words(name: str) -> dict[str, Any]:
    node: Any = OmegaConf.load(config.conf_dir() / "instruction" / f"{name}.yaml")
    return dict(OmegaConf.to_container(node))  # type: ignore[arg-type]
