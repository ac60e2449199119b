"""Where a checkpoint comes from: parents, data, settings, source tree and packages."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affect_mllm.data import manifest
from affect_mllm.models import checkpoint
from affect_mllm.train.stage import Stage

PACKAGES = ("torch", "transformers", "peft", "accelerate", "deepspeed", "timm", "affect-mllm")

# Settings of data and stage that cannot change what is trained; where the cache lies is one, that
# there is one is not (it may round).
IDLE = ("cache_dir", "cache_max_gb", "max_bad_fraction", "save_every", "keep_last")


def deciding(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node of data or stage without the settings that cannot change the result."""
    kept = {key: value for key, value in node.items() if key not in IDLE}
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
    data = {s.manifest: manifest.digest(Path(s.manifest)) for s in stage.sources}
    held_out = stage.validation.sources if stage.validation else []
    chosen_on = sorted(manifest.digest(Path(s.manifest)) for s in held_out)
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
