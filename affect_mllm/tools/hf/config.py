"""Configuration of an exported model: our model's own, and those of the parts it is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from omegaconf import OmegaConf
from transformers.configuration_utils import PretrainedConfig

NAME = "affect_mllm"
FILES = ("config.json", "preprocessor_config.json", "processor_config.json")


class AffectConfig(PretrainedConfig):
    """`affect` is the model's node as YAML, its pretrained parts named by their place in it.

    It is text because JSON files are written with sorted keys, and the order of the encoders is
    that of a fusion's streams. `parts[place][file]` are the JSON files of such a part, enough to
    build it without weights; `experts` those in use; `float32_parts` the modules that stay float32
    whatever `dtype` says.
    """

    model_type = NAME

    def __init__(
        self,
        affect: str = "{}",
        parts: Mapping[str, Mapping[str, Any]] | None = None,
        experts: Sequence[str] = (),
        float32_parts: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        self.affect = affect
        self.parts = {place: dict(files) for place, files in (parts or {}).items()}
        self.experts, self.float32_parts = list(experts), list(float32_parts)
        super().__init__(**kwargs)

    @contextmanager
    def node(self) -> Iterator[dict[str, Any]]:
        """Inside it, the YAML node with every part's `model` a folder of its JSON files."""
        copied: Any = OmegaConf.to_container(OmegaConf.create(self.affect))
        with TemporaryDirectory() as root:
            for number, (place, files) in enumerate(self.parts.items()):
                folder = Path(root) / str(number)
                folder.mkdir()
                for name, content in files.items():
                    if name in FILES:
                        (folder / name).write_text(json.dumps(content))
                at(copied, place)["model"] = str(folder)
            yield copied


def at(node: dict[str, Any], place: str) -> dict[str, Any]:
    """The part of a node that a dotted path names; the node itself for an empty path."""
    for key in filter(None, place.split(".")):
        node = node[key]
    return node


def places(node: Any, where: str = "") -> Iterator[str]:
    """The dotted paths of all parts that name a pretrained `model`."""
    if not isinstance(node, dict):
        return
    if "_target_" in node and isinstance(node.get("model"), str):
        yield where
    for key, value in node.items():
        yield from places(value, f"{where}.{key}" if where else key)


def register(module: ModuleType) -> None:
    """Make `AutoConfig` know exported models."""
    module.AutoConfig.register(NAME, AffectConfig, exist_ok=True)
