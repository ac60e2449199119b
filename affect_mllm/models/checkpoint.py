"""A checkpoint folder: `config.yaml`, `trainable.safetensors`, `meta.json`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from affect_mllm import config
from affect_mllm.models.label_head import LabelHead
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.tensor_file import Writes
from affect_mllm.types import CheckpointError

T = TypeVar("T")
FORMAT_VERSION = 1
WEIGHTS, CONFIG = "trainable.safetensors", "config.yaml"
HEADS, HEADS_PREFIX = "heads.safetensors", "heads."  # of losses: they belong to a stage


def own_names(model: nn.Module, trained: Sequence[str] = ()) -> list[str]:
    """What a checkpoint holds: connectors, LoRA, and base weights that some stage trained."""
    extra = set(trained)
    return [name for name in model.state_dict() if _is_connector(name) or name in extra]


def own_weights(model: nn.Module, trained: Sequence[str] = ()) -> dict[str, torch.Tensor]:
    """The tensors of `own_names`, on the CPU."""
    state = model.state_dict()
    return {name: state[name].detach().cpu().contiguous() for name in own_names(model, trained)}


def trained_base(model: nn.Module) -> list[str]:
    """Base weights that train now, and the buffers beside them (running means), by name."""
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    places = {name.rpartition(".")[0] for name in names}
    names += [name for name, _ in model.named_buffers() if name.rpartition(".")[0] in places]
    return sorted(n for n in names if not _is_connector(n) and not n.startswith(HEADS_PREFIX))


def _is_connector(name: str) -> bool:
    return name.startswith(("compressors.", "fusion.", "mixes.")) or "lora_" in name


def save(folder: Path, model: nn.Module, cfg: DictConfig, meta: dict[str, Any]) -> None:
    """Write the checkpoint of a model that is whole in this process (see `write`).

    `meta["trained"]` lists base weights that were trained.
    """
    own = own_weights(model, meta.get("trained", ()))
    write(folder, list(own), own.items(), cfg=cfg, meta=meta, writes=Writes())


def write(
    folder: Path,
    names: Sequence[str],
    weights: Iterable[tuple[str, torch.Tensor]],
    *,
    cfg: DictConfig,
    meta: Mapping[str, Any],
    writes: Writes,
) -> None:
    """Write a checkpoint's files, or have `writes` do it; hashes and format are added to `meta`.

    `weights` have these `names` in this order and are drawn one at a time; those named `heads.…`
    are the last and go into a file of their own. The caller owns atomicity (see
    `train/keep/stage_checkpoints.py`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, folder / CONFIG, resolve=True)
    heads = [name for name in names if name.startswith(HEADS_PREFIX)]
    own, stream = names[: len(names) - len(heads)], iter(weights)
    writes.tensors(folder / WEIGHTS, own, islice(stream, len(own)))
    if heads:
        writes.tensors(folder / HEADS, heads, stream)
    files = (CONFIG, WEIGHTS, *([HEADS] if heads else []))
    writes.then(lambda: _seal(folder, files, meta))


def _seal(folder: Path, files: Sequence[str], meta: Mapping[str, Any]) -> None:
    """`meta.json` of files that are whole."""
    whole = {
        **meta,
        "format_version": FORMAT_VERSION,
        "hashes": {name: file_hash(folder / name) for name in files},
    }
    (folder / "meta.json").write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n")


def read_meta(folder: Path) -> dict[str, Any]:
    """`meta.json` of a complete checkpoint whose files are what it says. Raises CheckpointError."""
    fix = "give the folder of a finished checkpoint, such as RUN/train/instruct/final"
    if not folder.is_dir():
        raise CheckpointError(str(folder), "no such folder", fix=fix)
    try:
        meta = json.loads((folder / "meta.json").read_text())
        hashes: dict[str, str] = meta["hashes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            str(folder),
            f"no readable meta.json ({error})",
            expected="a complete checkpoint",
            fix=fix,
        ) from error
    if meta.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            str(folder),
            f"format_version {meta.get('format_version')}",
            expected=str(FORMAT_VERSION),
        )
    for name, expected in hashes.items():
        path = folder / name
        got = file_hash(path) if path.is_file() else "missing"
        if got != expected:
            raise CheckpointError(
                str(path),
                f"sha256 {got}",
                expected=expected,
                fix="the file is incomplete or was changed; take another checkpoint",
            )
    return meta


def checkpoint_hash(folder: Path) -> str:
    """One hash for the checkpoint's weights and config, as printed beside every number."""
    hashes = read_meta(folder)["hashes"]
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:16]


def load_config(folder: Path) -> DictConfig:
    """The composed config that a checkpoint was trained with."""
    read_meta(folder)
    cfg = OmegaConf.load(folder / CONFIG)
    assert isinstance(cfg, DictConfig)
    return cfg


def load_weights(folder: Path, model: nn.Module) -> None:
    """Put a checkpoint's weights into `model`; missing and unexpected keys are refused."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    meta = read_meta(folder)
    try:
        weights = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            str(folder / WEIGHTS),
            str(error),
            fix="copy the checkpoint's folder anew, with all its files",
        ) from error
    put_weights(model, weights, where=folder, trained=meta.get("trained", ()))


def put_weights(
    model: nn.Module,
    weights: Mapping[str, torch.Tensor],
    *,
    where: Path,
    trained: Sequence[str] = (),
    fix: str = "use the model config that the checkpoint was trained with",
) -> None:
    """Give `model` its own weights: what is trained now in the file's dtype, the rest in its own.

    Raises CheckpointError for missing, unexpected or misshapen ones.
    """
    held = model.state_dict(keep_vars=True)
    expected = {name: held[name] for name in own_names(model, trained)}
    missing, unexpected = set(expected) - set(weights), set(weights) - set(expected)
    shapes = [
        f"{name} is {list(weights[name].shape)}, not {list(expected[name].shape)}"
        for name in sorted(set(expected) & set(weights))
        if expected[name].shape != weights[name].shape
    ]
    if missing or unexpected or shapes:
        raise CheckpointError(
            str(where),
            f"missing {sorted(missing)[:5]}, unexpected {sorted(unexpected)[:5]}, "
            f"other shape {shapes[:5]}",
            expected="the weights of this model",
            fix=fix,
        )
    for name, tensor in weights.items():
        twin = expected[name]
        # What trains keeps the file's float32. A copy: a mapped file's tensors begin anywhere, and
        # products of the same numbers round otherwise where memory is not aligned.
        dtype = tensor.dtype if twin.requires_grad else twin.dtype
        twin.data = tensor.to(twin.device, dtype, copy=True)


def load_heads(folder: Path, heads: nn.Module, *, strict: bool) -> None:
    """Put a checkpoint's heads of losses into `heads`; those it has not stay as they are.

    `strict` (when a stage goes on) wants all of them. Raises CheckpointError on another shape.
    """
    from safetensors.torch import load_file

    hashes = read_meta(folder)["hashes"]
    found = load_file(folder / HEADS) if HEADS in hashes else {}
    wanted = {f"{HEADS_PREFIX}{name}": tensor for name, tensor in heads.state_dict().items()}
    missing = sorted(set(wanted) - set(found))
    shapes = sorted(n for n in set(wanted) & set(found) if wanted[n].shape != found[n].shape)
    if shapes or (strict and missing):
        raise CheckpointError(
            str(folder / HEADS),
            f"missing {missing[:5]}, other shape {shapes[:5]}",
            expected="the heads of this stage's losses",
            fix="give a loss with another head another name",
        )
    state = {name.removeprefix(HEADS_PREFIX): found[name] for name in wanted if name in found}
    heads.load_state_dict(state, strict=False)


def load_label_head(folder: Path, label: str, width: int) -> tuple[LabelHead, tuple[str, ...]]:
    """The head on media tokens that the checkpoint's stage trained for `label`, and its classes.

    Raises CheckpointError where it has none.
    """
    from safetensors.torch import load_file

    meta, stages = read_meta(folder), load_config(folder).get("stages", {})
    losses = (stages.get(meta["stage"]) or {}).get("losses") or {}
    for name, node in losses.items():
        classes, scales = node.get("classes"), node.get("scales") or {}
        if isinstance(classes, DictConfig) and label in classes and HEADS in meta["hashes"]:
            sizes = {key: len(each) for key, each in classes.items()} | dict.fromkeys(scales, 1)
            head = LabelHead(width, {str(key): size for key, size in sizes.items()})
            prefix = f"{HEADS_PREFIX}{name}."
            found = load_file(folder / HEADS).items()
            own = {k.removeprefix(prefix): t for k, t in found if k.startswith(prefix)}
            head.load_state_dict(own)
            return head.eval(), tuple(map(str, classes[label]))
    raise CheckpointError(
        str(folder),
        f"no head on media tokens for {label}",
        expected="a stage with the loss MediaLabels, as own_clips has it",
        fix="answer by generation or likelihood",
    )


def load_model(
    folder: Path, *, plugins: Sequence[str] = (), trained: bool = True, dtype: str | None = None
) -> AffectMLLM:
    """The model of a checkpoint in eval mode; `trained=False` leaves its weights untrained.

    `plugins`: see `load_part`. `dtype`: of the language model's weights, where not as they were
    trained.
    """
    meta = read_meta(folder)
    torch.manual_seed(int(meta.get("seed", 0)))
    changes = {} if dtype is None else _in_dtype(load_config(folder).get("model"), dtype)
    model = load_part(folder, "model", AffectMLLM, plugins=plugins, **changes)
    if trained:
        load_weights(folder, model)
        model.use_experts(meta["experts"])
    return model.eval()


def _in_dtype(node: Any, dtype: str) -> dict[str, Any]:
    """What of a model's node changes for a language model in `dtype`: its own, or a VLM's."""
    llm = node.get("llm") if isinstance(node, DictConfig) else None
    return {"dtype": dtype} if llm is None else {"llm": {**llm, "dtype": dtype}}


def load_part(
    folder: Path, key: str, kind: type[T], *, plugins: Sequence[str] = (), **changes: Any
) -> T:
    """What a checkpoint's config says under `key`, which has to be a `kind`, with some changes.

    `plugins` are packages that the caller admits, never the checkpoint's own word: as everywhere,
    nothing else is built. ConfigError names the file and what was refused.
    """
    node = load_config(folder).get(key)
    if not isinstance(node, DictConfig):
        raise CheckpointError(str(folder / CONFIG), f"no {key}", expected="a training run's config")
    node.update(changes)
    return config.build(node, kind=kind, plugins=plugins, where=f"{folder / CONFIG}, {key}")


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def replace_folder(finished: Path, final: Path) -> None:
    """Give a completely written folder its final name; an old one of that name goes last."""
    old = final.with_name(final.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        os.replace(final, old)
    os.replace(finished, final)
    shutil.rmtree(old, ignore_errors=True)
