"""Options that several subcommands have."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from affect_mllm.types import ConfigError

Plugins = Annotated[
    list[str] | None,
    typer.Option(help="A package of yours whose classes the checkpoint names; again for each."),
]

PredictionsForm = Annotated[
    str, typer.Option("--form", help="Whose file: ours, lmms-eval, vlmevalkit or openai-batch.")
]
IdKey = Annotated[
    str | None, typer.Option(help="The key or column with the id.", show_default="the form's: id")
]
ResponseKey = Annotated[
    str | None,
    typer.Option(help="The one with the answer; a.0.b goes down.", show_default="the form's"),
]
IdTemplate = Annotated[
    str | None,
    typer.Option(
        help="The manifest's id made of the row's keys, {id} being its own: test_{id}.",
        show_default="{id}",
    ),
]

Across = Annotated[
    str,
    typer.Option(
        help="Compare although these differ: prompt, subset, extraction; comma-separated.",
        show_default="none",
    ),
]


def finite(value: float, option: str) -> float:
    """The value of `option`. ConfigError for infinity and for what is no number."""
    if not math.isfinite(value):
        raise ConfigError(option, str(value), expected="a finite number")
    return value


def kinds(across: str) -> list[str]:
    """The kinds that `--across` names."""
    return [each.strip() for each in across.split(",") if each.strip()]
