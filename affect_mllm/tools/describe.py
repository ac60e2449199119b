"""`affect-mllm describe`: the modules of an experiment, what trains when, tokens a modality."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

CLIP_S = 5.0


def describe_command(
    overrides: Annotated[list[str], typer.Argument(help="experiment=NAME [key=value …]")],
    *,
    clip_s: Annotated[float, typer.Option(help="length of the nominal clip")] = CLIP_S,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Read no weights: only the configs of the experiment's parts."""
    found = describe(overrides, clip_s=clip_s)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        _show(found)


def describe(overrides: list[str], *, clip_s: float = CLIP_S) -> dict[str, Any]:
    """Parameters by module, trainable ones by stage, tokens of a clip by modality.

    Raises ConfigError for an experiment that does not check, CheckpointError for a part whose
    config cannot be had.
    """
    from affect_mllm.tools.blueprint import blueprint, nominal
    from affect_mllm.train.plan.trainable import select

    plan = blueprint(overrides)
    model = plan.model
    modules: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        row = modules.setdefault(_module(name), {"parameters": 0, "dtypes": []})
        row["parameters"] += parameter.numel()
        dtype = str(parameter.dtype).removeprefix("torch.")
        row["dtypes"] = sorted({*row["dtypes"], dtype})
    total = sum(row["parameters"] for row in modules.values())
    stages = {}
    for stage in plan.stages:
        groups = select(model, stage.trainable)
        sizes = {name: sum(p.numel() for p in members) for name, members in groups.items()}
        trained = sum(sizes.values())
        rows = {n: {"parameters": s, "lr": stage.trainable[n].lr} for n, s in sizes.items()}
        stages[stage.name] = {"trainable": trained, "share": trained / total, "groups": rows}
    tokens = {name: item.tokens for name, item in nominal(plan, clip_s).items()}
    return {
        "experiment": plan.cfg.name,
        "parameters": total,
        "modules": modules,
        "stages": stages,
        "clip_s": clip_s,
        "tokens": tokens,
    }


def _module(parameter: str) -> str:
    """The module that a parameter is shown under."""
    if "lora_" in parameter:
        return "llm, LoRA"
    parts = parameter.split(".")
    depth = {"llm": 1, "fusion": 1, "encoders": 2, "compressors": 4 if "experts" in parts else 3}
    return ".".join(parts[: depth.get(parts[0], 2)])


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    title = f"{found['experiment']}: {found['parameters'] / 1e6:,.2f} M parameters"
    modules = Table("module", title=title, title_justify="left")
    modules.add_column("parameters, M", justify="right")
    modules.add_column("kept as")
    for name, row in found["modules"].items():
        modules.add_row(name, f"{row['parameters'] / 1e6:,.3f}", ", ".join(row["dtypes"]))
    console.print(modules)
    heads = ("stage, group", "trainable, M", "share", "peak rate")
    stages = Table(*heads, title="stages", title_justify="left")
    for name, stage in found["stages"].items():
        stages.add_row(name, f"{stage['trainable'] / 1e6:,.3f}", f"{stage['share']:.3%}", "")
        for group, row in stage["groups"].items():
            count = row["parameters"]
            share = f"{count / found['parameters']:.3%}"
            stages.add_row(f"  {group}", f"{count / 1e6:,.3f}", share, f"{row['lr']:g}")
    console.print(stages)
    shown = ", ".join(f"{name} {count}" for name, count in found["tokens"].items())
    console.print(f"tokens of a clip of {found['clip_s']:g} s, 640 × 360 pixels: {shown}")
    console.print("(a row has some of these: face or frame of a video, image of a picture)")
