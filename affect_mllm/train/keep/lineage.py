"""Where a checkpoint comes from: parents, data, settings, source tree and packages."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from affect_mllm.data import manifest
from affect_mllm.models import checkpoint
from affect_mllm.train.plan.stage import Stage

PACKAGES = ("torch", "transformers", "peft", "accelerate", "deepspeed", "timm", "affect-mllm")

# Settings of data and stage that cannot change what is trained; where the cache lies is one, that
# there is one is not (it may round).
MOST = 6  # differences that are named
IDLE = ("cache_dir", "cache_max_gb", "max_bad_fraction", "save_every", "keep_last", "speed")


def deciding(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node of data or stage without the settings that cannot change the result.

    Groups of `trainable` are a list: the first that matches a parameter decides.
    """
    kept = {key: value for key, value in node.items() if key not in IDLE}
    if "trainable" in kept:
        kept["trainable"] = [[name, group] for name, group in kept["trainable"].items()]
    return kept | {"cached": node.get("cache_dir") is not None}


def meta(
    stage: Stage, parent: Path | None, *, seed: int, decides: Mapping[str, Any]
) -> dict[str, Any]:
    """A checkpoint's `meta.json` at the start of a stage.

    `fingerprint` is a hash of all that decides the result: `decides`, the seed, the parent and the
    data, held-out rows included. How the work is laid out over processes is not among it.
    """
    before = {} if parent is None else checkpoint.read_meta(parent)
    origin = None if parent is None else checkpoint.checkpoint_hash(parent)
    data = {s.manifest: manifest.digest(Path(s.manifest)) for s in stage.sources.values()}
    held_out = stage.validation.sources if stage.validation else {}
    chosen_on = sorted(manifest.digest(Path(s.manifest)) for s in held_out.values())
    text = json.dumps([decides, seed, origin, sorted(data.values()), chosen_on], sort_keys=True)
    return {
        "stage": stage.name,
        "seed": seed,
        "experts": list(stage.experts),
        "trained": before.get("trained", []),
        "lineage": [
            *before.get("lineage", []),
            {"stage": stage.name, "parent": origin, "data": data},
        ],
        "fingerprint": hashlib.sha256(text.encode()).hexdigest(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "git": _git_state(),
    }


def difference(folder: Path, cfg: DictConfig, stage: str) -> str:
    """In words, how the run of a checkpoint differs from `cfg` in what decides `stage`'s result."""
    then = _leaves(checkpoint.load_config(folder), stage)
    now = _leaves(cfg, stage)
    keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    if not keys:
        return "is of a run with other settings, data or seed: the data's files or its parent"
    shown = [f"{key}: {_said(then, key)} there, {_said(now, key)} here" for key in keys[:MOST]]
    more = [f"and {len(keys) - MOST} more"] if len(keys) > MOST else []
    return "\n    ".join(["is of a run with other settings, data or seed", *shown, *more])


def _leaves(cfg: DictConfig, stage: str) -> dict[str, Any]:
    """By path, the values that decide; what has no names (lists) is one value."""
    whole: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    stages = {name: node for name, node in whole.get("stages", {}).items() if name == stage}
    kept = {"seed": whole.get("seed"), "model": whole.get("model"), "data": whole.get("data")}
    found = dict(_flat({**kept, "stages": stages}, ""))
    return {key: value for key, value in found.items() if not {*key.split(".")} & {*IDLE}}


def _flat(node: Any, where: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict):
        yield where, node
        return
    for key, value in node.items():
        yield from _flat(value, f"{where}.{key}" if where else str(key))


def _said(leaves: Mapping[str, Any], key: str) -> str:
    return repr(leaves[key]) if key in leaves else "nothing"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_state() -> str | None:
    """Commit of the source tree, `+changes` if it has any; None where there is no git."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty=+changes", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
