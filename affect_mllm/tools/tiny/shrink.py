"""A configuration made tiny: small connectors, and folders of tiny weights for its models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from affect_mllm.models.tiny.weights import seeded
from affect_mllm.targets import resolve

# The most that connectors have of what is called so; widths stay a multiple of 12 heads.
SMALL: dict[str, float] = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "common_size": 32,
    "size": 24,
    "inner_size": 32,
    "r": 2,
    "grid": 4,
    "output_size": 48,
    "duration_s": 0.1,
}


@dataclass
class Tiny:
    """Shrinks configurations in place; `weights` is the folder below which it writes models.

    A model that several parts or experiments name is written once. `plugins` are packages whose
    classes may be named. `changes` collects what was set, by its path.
    """

    weights: Path
    plugins: Sequence[str] = ()
    changes: dict[str, Any] = field(default_factory=dict)

    def shrink(self, node: Any, where: str = "") -> None:
        """Make `node`, at the path `where`, and all below it tiny.

        A node whose class has an option `model` and a method `tiny` gets tiny weights of the
        architecture that it names. Raises CheckpointError where a name tells none.
        """
        if not isinstance(node, DictConfig):
            return
        for key in list(node):
            value, most = node[key], SMALL.get(str(key))
            at = f"{where}.{key}" if where else str(key)
            if most is not None and type(value) in (int, float) and value > most:
                self.set(node, str(key), type(value)(most), at=at)
            self.shrink(value, at)
        tiny = getattr(self._class_of(node), "tiny", None)
        if tiny is not None and "model" in node:
            for key, value in self._weights(tiny, node).items():
                if OmegaConf.select(node, key) is not None:
                    self.set(node, key, value, at=f"{where}.{key}" if where else key)

    def set(self, node: DictConfig, key: str, value: Any, *, at: str) -> None:
        """Set a value of `node` by its path below it, and remember it under `at`."""
        with open_dict(node):
            OmegaConf.update(node, key, value, force_add=True)
        self.changes[at] = value

    def _weights(
        self, tiny: Callable[[str, Path], dict[str, Any]], node: DictConfig
    ) -> dict[str, Any]:
        """The settings for the weights of `node`, which are written if they are not there yet."""
        name = str(node.model)
        folder = self.weights / name.removeprefix("asset:").replace("/", "_")
        known = folder / "tiny.json"
        if not known.is_file():
            seeded(name)
            known.write_text(json.dumps(tiny(name, folder)))
        return json.loads(known.read_text())

    def _class_of(self, node: DictConfig) -> Any:
        target = node.get("_target_")
        return resolve(str(target), self.plugins) if target else None
