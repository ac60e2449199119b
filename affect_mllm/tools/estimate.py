"""`affect-mllm estimate`: device memory and FLOPs of a training step, before anything is run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affect_mllm import config
from affect_mllm.types import ConfigError

if TYPE_CHECKING:
    from affect_mllm.tools.blueprint import Blueprint, Nominal
    from affect_mllm.tools.rehearsal import Account, Shape
    from affect_mllm.train.plan.speed import Speed
    from affect_mllm.train.plan.stage import Stage

GIB = 2**30
RESERVED = 2 * GIB  # a device's context, and what the allocator keeps
TEXT, ANSWER = 96, 24  # tokens of prompt and answer beside the media
# What each strategy splits over the processes: optimizer, gradients, weights.
SPLITS = {
    "single": (False, False, False),
    "ddp": (False, False, False),
    "zero1": (True, False, False),
    "zero2": (True, True, False),
    "zero3": (True, True, True),
    "zero3_offload": (True, True, True),
    "fsdp2": (True, True, True),
}


def estimate_command(
    overrides: Annotated[list[str], typer.Argument(help="experiment=NAME [launch=NAME] …")],
    *,
    clip_s: Annotated[float, typer.Option(help="length of a clip")] = 5.0,
    text_tokens: Annotated[int, typer.Option(help="prompt tokens beside media")] = TEXT,
    answer_tokens: Annotated[int, typer.Option(help="supervised tokens of an example")] = ANSWER,
    processes: Annotated[int, typer.Option(help="devices that share the work")] = 1,
    fit: Annotated[
        str | None, typer.Option(help="memory of a device (80GiB): the most clips that fit")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Rehearse a step of every stage with shapes alone; no weights are read, nothing is allocated.

    Memory is what torch allocates for one micro-batch: a device also holds its context and what
    the allocator keeps, some 1 to 2 GiB. Encoders run in the step unless `data.cache_dir` is set.
    With `--fit`, which leaves 2 GiB of it for these, the largest micro-batch of each stage under
    the launch's strategy, and the settings that make it.
    """
    if min(clip_s, text_tokens, answer_tokens, processes) <= 0:
        raise ConfigError("estimate", "a number that is not above 0", expected="all above 0")
    found = estimate(
        overrides,
        clip_s=clip_s,
        text=(text_tokens, answer_tokens),
        processes=processes,
        fit=None if fit is None else read_bytes(fit),
    )
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        _show(found)


def estimate(
    overrides: list[str],
    *,
    clip_s: float,
    text: tuple[int, int],
    processes: int,
    fit: int | None = None,
) -> dict[str, Any]:
    """Bytes by stage of training and strategy, FLOPs a micro-batch and a step.

    A micro-batch holds what `launch.micro_batches` and `launch.budget` leave it, of clips that all
    are `clip_s` long. With `fit` bytes of a device, the largest one instead, if any fits.
    Raises what `blueprint` raises.
    """
    from affect_mllm.tools.blueprint import blueprint, nominal
    from affect_mllm.tools.rehearsal import rehearse
    from affect_mllm.train.layout.engine import DTYPES
    from affect_mllm.train.plan.optim import build
    from affect_mllm.train.plan.trainable import unfreeze

    plan = blueprint(overrides)
    lower = DTYPES.get(plan.cfg.launch.precision)
    items = nominal(plan, clip_s)
    stages: dict[str, Any] = {}
    base = [(parameter, parameter.dtype) for parameter in plan.model.parameters()]
    for stage in plan.stages:
        plan.model.use_experts(stage.experts)
        for parameter, dtype in base:  # what only the stage before trained is the base's again
            parameter.data = parameter.data.to(dtype)
        groups = unfreeze(plan.model, stage.trainable)
        # The fused step has no form on the meta device; what the states take is the same.
        settings = replace(stage.optimizer, fused=False)
        optimizer = build(
            groups, stage.trainable, weight_decay=stage.weight_decay, settings=settings
        )
        speed_of(plan, stage).rehearsed(plan.model, lower)
        of_rank = math.ceil(stage.batch_size / processes)
        words, whole = words_of(stage, text), gathers(stage)

        def rehearsed(
            examples: int, optimizer: Any = optimizer, words: tuple[int, int] = words
        ) -> tuple[Shape, Account]:
            shape = shape_of(plan, items, examples=examples, text=words)
            return shape, rehearse(plan.model.train(), shape, optimizer, autocast=lower)

        def taken(examples: int, rehearsed: Any = rehearsed, whole: bool = whole) -> int:
            strategy = str(plan.cfg.launch.strategy)
            return on_device(rehearsed(examples)[1], strategy, processes, whole=whole)

        if fit is None:
            examples = at_once(plan, items, words, of_rank)
        else:
            examples = largest(taken, fit - RESERVED, of_rank)
        shape, account = rehearsed(max(1, examples))
        micro = math.ceil(of_rank / max(1, examples))
        stages[stage.name] = {
            "micro_batch": asdict(shape),
            "account": asdict(account),
            "bytes": {n: on_device(account, n, processes, whole=whole) for n in SPLITS},
            "flops_step": account.flops * micro * processes,
            "examples": examples,
            "micro_batches": micro,
            "tokens": shape.rows * shape.length,
        }
    return {
        "experiment": plan.cfg.name,
        "strategy": str(plan.cfg.launch.strategy),
        "processes": processes,
        "fit": fit,
        "stages": stages,
    }


def read_bytes(text: str) -> int:
    """Bytes of `80GiB`, `80GB` or `81920MiB`. ConfigError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])(i?)B\s*", text)
    if found is None:
        raise ConfigError("--fit", repr(text), expected="a number of bytes such as 80GiB")
    number, unit, binary = found.groups()
    return round(float(number) * (1024 if binary else 1000) ** ("KMGT".index(unit) + 1))


def words_of(stage: Stage, text: tuple[int, int]) -> tuple[int, int]:
    """Tokens of prompt and answers; where the model answers itself, as many as it may draw.

    An update then reads all answers to a prompt behind it, in one row.
    """
    if stage.rollout is None:
        return text
    return text[0], stage.rollout.answers * stage.rollout.max_new_tokens


def gathers(stage: Stage) -> bool:
    """Whether all weights are on each device for a while, where they are split otherwise."""
    return stage.rollout is not None or stage.compares


def speed_of(plan: Blueprint, stage: Stage) -> Speed:
    """What makes the stage's steps cheaper: the run's settings, with the stage's own."""
    target = "affect_mllm.train.plan.speed.Speed"
    return config.build({"_target_": target, **plan.cfg.speed, **stage.speed})


def at_once(plan: Blueprint, items: dict[str, Nominal], text: tuple[int, int], of_rank: int) -> int:
    """How many of a rank's examples a micro-batch holds, by the launch's settings."""
    launch = plan.cfg.launch
    names = _shown(plan, items)
    budget = config.build(launch.budget)
    count = math.ceil(of_rank / max(1, launch.micro_batches))
    length = sum(text) + sum(items[name].tokens for name in names)
    if budget.tokens is not None:
        count = min(count, budget.tokens // length)
    units = budget.units_of({n: items[n].positions for n in names})
    if budget.units is not None and units and plan.cfg.data.cache_dir is None:
        count = min(count, int(budget.units // units))
    return max(1, count)


def largest(taken: Callable[[int], int], limit: int, most: int) -> int:
    """The most examples, at most `most`, that take no more than `limit` bytes; 0 if none does.

    What they take grows with their number, about evenly: few are tried.
    """
    low, one = 1, taken(1)
    if one > limit:
        return 0
    high, step = most + 1, taken(min(2, most)) - one
    while high - low > 1:
        guess = high - 1 if step <= 0 else 1 + (limit - one) // step
        tried = min(max(guess, low + 1), high - 1)
        found = taken(tried)
        if found <= limit:
            low = tried
        else:
            high = tried
        step = max((found - one) // max(1, tried - 1), 1)
    return low


def _shown(plan: Blueprint, items: dict[str, Nominal]) -> list[str]:
    """What a clip is seen and heard as."""
    reader = plan.cfg.data.reader
    picture = next((n for n in (reader.visual, "frame") if n in items), None)
    still = "image" if reader.get("still") else None
    return [name for name in (picture, still, "audio", "multi") if name in items]


def shape_of(
    plan: Blueprint, items: dict[str, Nominal], *, examples: int, text: tuple[int, int]
) -> Shape:
    """One micro-batch of `examples` clips with pictures, sound where it is heard, and text."""
    from affect_mllm.tools.rehearsal import Shape

    names = _shown(plan, items)
    length = sum(text) + sum(items[name].tokens for name in names)
    budget = int(plan.cfg.launch.row_tokens)
    a_row = max(1, budget // length)
    rows = math.ceil(examples / a_row)
    present = {name: (examples, items[name].states) for name in names if name != "multi"}
    patches = {name: (grid,) * examples for name in names if (grid := items[name].grid) is not None}
    supervised = examples * text[1]
    cached = plan.cfg.data.cache_dir is not None
    inputs = {name: read for name in present if (read := items[name].input) and not cached}
    width = min(a_row, examples) * length
    return Shape(rows, width, supervised, present, patches, inputs, (length,) * examples)


def on_device(account: Account, strategy: str, processes: int, *, whole: bool = False) -> int:
    """Bytes at the peak on one of `processes` devices: what a strategy splits is divided.

    With ZeRO-3 and FSDP the gathered layer is not counted, but all weights beside the device's part
    where they are gathered at once (`whole`); offloaded parts are on the host.
    """
    kept = [1 / processes if split else 1.0 for split in SPLITS[strategy]]
    if strategy == "zero3_offload":
        kept = [0.0, 0.0, 0.0]
    parts = (account.optimizer, account.gradients, account.weights)
    fixed = sum(part * (1 - share) for part, share in zip(parts, kept, strict=True))
    if SPLITS[strategy][1] is False:
        return round(account.peak - fixed)
    gathered = 0.0
    if whole and SPLITS[strategy][2]:
        gathered = account.weights * (1 + kept[2]) + account.optimizer * kept[0]
    return round(max(account.peak - fixed, account.activations, gathered))


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    for name, stage in found["stages"].items():
        account, shape = stage["account"], stage["micro_batch"]
        title = f"{found['experiment']}, stage {name}: {shape['rows']} × {shape['length']} tokens"
        title += f", {stage['examples']} clips" if stage["examples"] else ", and not even one fits"
        table = Table("bytes on one device", "GiB", title=title, title_justify="left")
        for part in ("weights", "gradients", "optimizer", "activations"):
            table.add_row(part, f"{account[part] / GIB:.3f}")
        for strategy, size in stage["bytes"].items():
            chosen = " (chosen)" if strategy == found["strategy"] else ""
            label = f"peak, {strategy} on {found['processes']}{chosen}"
            table.add_row(label, f"{size / GIB:.3f}")
        console.print(table)
        console.print(
            f"{account['flops'] / 1e12:.3f} TFLOP a micro-batch, "
            f"{stage['flops_step'] / 1e12:.3f} a step of {stage['micro_batches']} micro-batches"
        )
        if found["fit"] and stage["examples"]:
            console.print(
                f"largest that fits: launch.micro_batches={stage['micro_batches']}, or for clips "
                f"of any length launch.budget.tokens={stage['tokens']}"
            )
