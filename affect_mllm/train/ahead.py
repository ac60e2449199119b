"""What a stage would refuse when it begins, found before the first step of the first one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affect_mllm.data.mixture import check_instructions
from affect_mllm.data.outline import Outliner
from affect_mllm.data.settings import DataSettings
from affect_mllm.media.augment import RandomTransform
from affect_mllm.models import checkpoint
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.keep.ema import check_ema
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.plan.stage import Stage, check_heads
from affect_mllm.train.plan.trainable import select
from affect_mllm.train.rollout.settings import check_rollout
from affect_mllm.train.watch.benchmarks import MakeBenchmark, made
from affect_mllm.types import ConfigError, DataError, Patches

LOOKED_AT = 8  # draws of each stage whose words are written
NOMINAL_S = 2.0


def check_settings(
    stages: Sequence[Stage], data: DataSettings, launch: Launch, make: MakeBenchmark | None
) -> None:
    """What needs no model: labels, layout, checkpoints to start from, benchmarks, `best`.

    Raises ConfigError, DataError or CheckpointError.
    """
    for stage in stages:
        check_instructions(stage.sources, data.instructions)
        _check_batch(stage)
        check_ema(stage.ema, launch.strategy)
        if stage.rollout is not None:
            check_rollout(stage.name, stage.rollout, data)
        stage.optimizer.check(launch.strategy)
        if stage.init_from != "previous" and not _comes(stage, stages):
            checkpoint.read_meta(Path(stage.init_from))
        made(stage, make, data)
        _check_best(stage)


def check_quantized(model: Mapping[str, Any], launch: Launch) -> None:
    """ConfigError for a base whose numbers lie beside its weights, which `fully_shard` leaves out.

    `model` is the run's node.
    """
    llm = model.get("llm")
    if launch.strategy == "fsdp2" and isinstance(llm, Mapping) and llm.get("quantize") == "int8":
        raise ConfigError(
            "model.llm.quantize",
            "int8, with launch.strategy=fsdp2",
            expected="a base whose weights can be split over processes",
            fix="choose launch=ddp or launch=zero2, which keep it whole, or set "
            "model.llm.quantize=none",
        )


def _comes(stage: Stage, stages: Sequence[Stage]) -> bool:
    """Whether what it starts from is not there yet, but of a stage that runs before it."""
    folder, names = Path(stage.init_from), [each.name for each in stages]
    return not folder.exists() and folder.parent.name in names[: names.index(stage.name)]


def check_stages(
    model: AffectMLLM, stages: Sequence[Stage], data: DataSettings, *, seed: int
) -> None:
    """What a new model shows: groups, heads, copies, words, and encoders that fit their input.

    The model is left with everything frozen and without heads, and no random number is drawn.
    """
    here = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(here), torch.no_grad():
        _check_encoders(model, data)
        for stage in stages:
            _check_parameters(model, stage, data)
            _check_words(model, stage, data, seed)


def check_cached(trained: Sequence[str], data: DataSettings) -> None:
    """ConfigError if an encoder trains whose states come from the cache."""
    if data.cache_dir is not None and any(name.startswith("encoders.") for name in trained):
        raise ConfigError(
            "stage.trainable",
            "names an encoder, whose states come from the cache",
            fix="set data.cache_dir=null",
        )


def _check_parameters(model: AffectMLLM, stage: Stage, data: DataSettings) -> None:
    with _of(stage):
        try:
            stage.add_heads(model)
            select(model, stage.trainable)
            check_heads(model, stage.losses)
            for loss in stage.losses.values():
                loss.check(model)
            check_cached(checkpoint.trained_base(model), data)
            stage.check_copies(model)
        finally:
            model.heads.clear()
            model.requires_grad_(False)


def _check_words(model: AffectMLLM, stage: Stage, data: DataSettings, seed: int) -> None:
    """Write the first questions and answers: a template that cannot, cannot in any step."""
    outliner = Outliner(
        data.maker(model.llm.tokenizer, model.span_lengths()),
        data.instructions,
        visual=data.reader.visual,
        still=data.reader.still is not None,
    )
    held_out = [] if stage.validation is None else [stage.validation_mixture(seed)]
    with _of(stage):
        for mixture in (stage.mixture(seed), *held_out):
            for place in range(min(LOOKED_AT, len(mixture))):
                with contextlib.suppress(DataError):  # a bad sample, which a step counts
                    outliner.outline(mixture[place])


def _check_batch(stage: Stage) -> None:
    """Whether every process has an example of each update."""
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if stage.batch_size < ranks:
        raise ConfigError(
            f"stages.{stage.name}.batch_size",
            f"{stage.batch_size} examples an update, on {ranks} processes",
            expected=f"at least {ranks}: {ranks - stage.batch_size} of them would do nothing",
            fix=f"set stages.{stage.name}.batch_size={stage.batch_size * ranks}, as many on each "
            f"as now in all (and stages.{stage.name}.steps={-(-stage.steps // ranks)} to draw as "
            f"many examples as now); or start {stage.batch_size}",
        )


def _check_best(stage: Stage) -> None:
    """Whether anything is evaluated that has the name to choose by."""
    if stage.best is None:
        return
    losses = (
        [] if stage.validation is None else ["loss", *stage.losses, *Objective(stage.losses).notes]
    )
    asked = [] if stage.benchmarks is None else stage.benchmarks.names
    known = [f"val/{name}" for name in losses]
    known_parts = [f"val/{name}/" for name in asked]
    metric = stage.best.metric
    if metric not in known and not metric.startswith(tuple(known_parts)):
        raise ConfigError(
            f"stages.{stage.name}.best.metric",
            metric,
            expected=f"one of {[*known, *(f'{part}METRIC' for part in known_parts)]}",
            fix="name one of them, or give the stage a `validation` or `benchmarks`",
        )


def _check_encoders(model: AffectMLLM, data: DataSettings) -> None:
    """Each encoder reads what its transform makes of a nominal clip."""
    encode, transforms = model.clip_encoder(), model.transforms()
    for name, branch in model.branches.items():
        transform: Any = transforms[name]
        if isinstance(transform, RandomTransform):
            transform = transform.drawn(None)
        item = transform(_nominal(name, data, getattr(transform, "width", 0)))
        if isinstance(item, Patches):
            continue  # of any size
        try:
            encode({name: item})
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            raise ConfigError(
                f"model.encoders.{branch}.transform",
                f"{type(transform).__name__} makes arrays of {list(np.shape(item)[1:])}, which "
                f"the weights cannot read: {str(error).splitlines()[0]}",
                expected="the input that these weights were trained on",
                fix="set its options (n_mels, size) to those of the weights' preprocessing",
            ) from error


def _nominal(name: str, data: DataSettings, width: int) -> np.ndarray:
    """A clip of two seconds as the reader gives it: frames, one picture, sound, or states."""
    frames = max(1, len(data.reader.sampling.moments(0.0, NOMINAL_S)))
    rng = np.random.default_rng(0)
    if width:
        return rng.standard_normal((frames, width)).astype(np.float32)
    if name == "audio":
        return rng.standard_normal(round(NOMINAL_S * 16_000)).astype(np.float32)
    count = 1 if name == "image" else frames
    return rng.integers(0, 256, (count, 240, 320, 3), dtype=np.uint8)


@contextlib.contextmanager
def _of(stage: Stage) -> Iterator[None]:
    """An error's place `stage.…` becomes `stages.NAME.…`: another may be running first."""
    try:
        yield
    except ConfigError as error:
        if not error.where.startswith("stage."):
            raise
        where = f"stages.{stage.name}.{error.where.removeprefix('stage.')}"
        raise ConfigError(where, error.got, expected=error.expected, fix=error.fix) from error
