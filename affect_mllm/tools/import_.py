"""`affect-mllm import`: a checkpoint of another project as one of ours, nothing in it executed."""

from __future__ import annotations

import importlib.metadata
import pickle
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

KINDS = ("affectgpt",)


def import_command(
    kind: Annotated[str, typer.Argument(help="Whose checkpoint it is: affectgpt.")],
    checkpoint: Annotated[Path, typer.Argument(help="The .pth file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value of the model, such as model.encoders.audio.model=DIR."),
    ] = None,
    *,
    llm: Annotated[str, typer.Option(help="The base LLM: a folder or a Hub id.")],
    out: Annotated[Path, typer.Option(help="The checkpoint folder to write.")],
    heads: Annotated[int, typer.Option(help="Attention heads of its Q-Formers, if any.")] = 12,
    query_tokens: Annotated[
        list[str] | None,
        typer.Option(help="video=N, audio=N, multi=N or image=N, where the file does not say."),
    ] = None,
) -> None:
    """Write a checkpoint folder with the trained weights of another project's file."""
    from affect_mllm.types import ConfigError

    if kind not in KINDS:
        raise ConfigError("import", repr(kind), expected=", ".join(KINDS))
    if out.exists():
        raise ConfigError("--out", f"{out} exists", fix="name a new folder")
    mapped, ignored = import_affectgpt(
        checkpoint,
        out,
        changes=[f"model.llm.model={llm}", *(overrides or [])],
        heads=heads,
        query_tokens=query_tokens or (),
    )
    said = f"{mapped} tensors mapped"
    if ignored:
        said += f", {len(ignored)} ignored (no parameters): {', '.join(ignored)}"
    sys.stdout.write(f"{said}\n{out}\n")


def import_affectgpt(
    path: Path,
    out: Path,
    *,
    changes: list[str],
    heads: int = 12,
    query_tokens: Sequence[str] = (),
) -> tuple[int, list[str]]:
    """Write `out`; how many tensors were mapped, and which names are no parameters.

    `changes` are overrides of `experiment=affectgpt`; `query_tokens` are
    `importers.affectgpt.query_tokens`'s. Raises CheckpointError when the file holds
    more than plain data, or when a parameter is missing, unexpected or of another shape.
    """
    from affect_mllm import config
    from affect_mllm.models import checkpoint
    from affect_mllm.tools.importers import affectgpt

    weights, settings = read_tensors(path)
    found, ignored = affectgpt.renamed(weights)
    counts = affectgpt.query_tokens(settings, query_tokens)
    chosen = [*affectgpt.overrides(weights, heads=heads, counts=counts), *changes]
    whole = config.compose("train", ["experiment=affectgpt", *chosen])
    model = config.build(whole.model, plugins=whole.plugins)
    fix = "name the LLM and the encoders that it was trained with (--llm, model.encoders.…)"
    checkpoint.put_weights(model, found, where=path, fix=fix)
    kept = {key: whole[key] for key in ("name", "seed", "model", "data", "stages", "launch")}
    origin = {"file": path.name, "sha256": checkpoint.file_hash(path), "project": "AffectGPT"}
    meta = {
        "stage": "imported",
        "step": 0,
        "seed": int(whole.seed),
        "experts": [],
        "trained": [],
        "lineage": [{"stage": "imported", "parent": None, "data": {}, "source": origin}],
        "fingerprint": origin["sha256"],
        "packages": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
        "git": None,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        made = Path(folder) / "made"
        checkpoint.save(made, model, _config(kept), meta)
        checkpoint.replace_folder(made, out)
    return len(found), ignored


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], Any]:
    """The `model` tensors of a .pth and its `config`, by torch's restricted unpickler, which runs
    no code of it.

    Raises CheckpointError for anything else than tensors and plain data.
    """
    import torch

    from affect_mllm.types import CheckpointError

    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(str(path), error.strerror or str(error)) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(
            str(path),
            f"not a file of tensors and plain data ({str(error).splitlines()[0]})",
            expected="what torch.load reads with weights_only=True; code in it is never run",
        ) from error
    weights = whole.get("model") if isinstance(whole, dict) else None
    if not isinstance(weights, dict) or not all(
        isinstance(t, torch.Tensor) for t in weights.values()
    ):
        raise CheckpointError(str(path), "no dictionary of tensors under `model`")
    return weights, whole.get("config")


def _config(kept: dict[str, Any]) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.create(kept)
