"""What an importer found, written as a checkpoint of ours."""

from __future__ import annotations

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from omegaconf import DictConfig

KEPT = ("name", "seed", "model", "data", "stages", "launch")  # of the experiment's config


@dataclass(frozen=True)
class Told:
    """What the command line says besides: heads of attention and numbers of query tokens, names as
    `THEIRS=OURS` and those that are left out, and the folder of an adapter.
    """

    heads: int = 12
    query_tokens: Sequence[str] = ()
    names: Sequence[str] = ()
    dropped: Sequence[str] = ()
    adapter: Path | None = None


@dataclass(frozen=True)
class Found:
    """The weights in `files` of `project` by our names, and what `experiment` is changed to.

    `files` are by the names that the checkpoint's origin gives them, the first one first. `base` is
    the setting that names the pretrained model; its own weights may be among them, of an encoder or
    the LLM all or none. `ignored` are names of theirs that are no parameters of the model,
    `dropped` those that the user left out. Parameters of ours that `fresh` matches may be missing,
    and begin anew. `experts` are those that the gates weigh. `alpha` is the setting of LoRA's alpha
    where there is LoRA and no file says it.
    """

    project: str
    experiment: str
    files: Mapping[str, Path]
    weights: Mapping[str, torch.Tensor]
    changes: Sequence[str] = ()
    base: str = "model.llm.model"
    ignored: Sequence[str] = ()
    dropped: Sequence[str] = ()
    fresh: str = "(?!)"
    experts: tuple[str, ...] = ()
    alpha: str = ""


def write(found: Found, out: Path, *, changes: Sequence[str]) -> list[str]:
    """Write the checkpoint folder `out`; lines that say what became of every tensor.

    `changes` are overrides behind the found ones. Raises CheckpointError when a parameter is
    missing, unexpected or of another shape; nothing is written then.
    """
    from omegaconf import OmegaConf

    from affect_mllm import config
    from affect_mllm.models import checkpoint
    from affect_mllm.tools.importers.fitting import fitted

    chosen = [f"experiment={found.experiment}", *found.changes, *changes]
    whole = config.compose("train", chosen)
    torch.manual_seed(int(whole.seed))
    model = config.build(whole.model, plugins=whole.plugins)
    where = next(iter(found.files.values()))
    fit = fitted(model, found.weights, fresh=found.fresh, where=where)
    fix = "name the pretrained models that it was trained with (--llm, model.encoders.…)"
    checkpoint.put_weights(model, fit.weights, where=where, trained=fit.base, fix=fix)
    kept = OmegaConf.create({key: whole[key] for key in KEPT})
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        made = Path(folder) / "made"
        checkpoint.save(made, model, kept, _meta(found, int(whole.seed), fit.base))
        checkpoint.replace_folder(made, out)
    return [_counted(found), *_alpha(found, whole), *fit.lines()]


def _meta(found: Found, seed: int, trained: Sequence[str]) -> dict[str, Any]:
    """`meta.json`: where every file comes from."""
    from affect_mllm.models.checkpoint import file_hash

    hashes = {name: file_hash(path) for name, path in found.files.items()}
    first, print_ = next(iter(hashes.items()))
    origin: dict[str, Any] = {"file": first, "sha256": print_}
    if len(hashes) > 1:
        origin["files"] = hashes
        print_ = hashlib.sha256(repr(sorted(hashes.items())).encode()).hexdigest()
    origin["project"] = found.project
    return {
        "stage": "imported",
        "step": 0,
        "seed": seed,
        "experts": list(found.experts),
        "trained": list(trained),
        "lineage": [{"stage": "imported", "parent": None, "data": {}, "source": origin}],
        "fingerprint": print_,
        "packages": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
        "git": None,
    }


def _counted(found: Found) -> str:
    said = f"{len(found.weights)} tensors mapped"
    left = {"ignored (no parameters)": found.ignored, "left out (--drop)": found.dropped}
    parts = [f"{len(each)} {what}: {', '.join(each)}" for what, each in left.items() if each]
    return f"{said}, {'; '.join(parts)}" if parts else said


def _alpha(found: Found, whole: DictConfig) -> list[str]:
    """LoRA's alpha where no file says it."""
    from omegaconf import OmegaConf

    if not found.alpha:
        return []
    alpha = OmegaConf.select(whole, found.alpha)
    told = "the experiment's if the command line names no other"
    return [f"LoRA's alpha is in no file: {alpha}, {told} ({found.alpha}=N)"]
