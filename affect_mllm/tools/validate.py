"""`affect-mllm validate`: every bad row, one thing in two splits, media that do not decode."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affect_mllm.types import ExitCode


def validate_command(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="MANIFEST...", help=".jsonl or .parquet files, checked together."),
    ],
    decode: Annotated[bool, typer.Option(help="Decode every media file, too.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode; 0: one a core.")] = 0,
) -> None:
    """List every bad row of manifests with file:line and reason; exit code 1 if there is any."""
    from affect_mllm.tools.validation import by_reason, validate  # here: it imports NumPy

    found = validate(*paths, decode=decode, workers=workers or None)
    for each in found:
        for problem in each.problems:
            typer.echo(f"{each.path}:{problem}")
        if not each.problems:
            typer.echo(f"{each.path}: {each.good_rows} rows, no problems")
        if each.labels_only:
            typer.echo(f"{each.path}: {each.labels_only} rows are labels alone: no media looked at")
    count = sum(len(each.problems) for each in found)
    if not count:
        return
    bad = sum(len({problem.line for problem in each.problems}) for each in found)
    good = sum(each.good_rows for each in found)
    typer.echo(f"\n{count} problems in {bad} rows, {good} rows without")
    for kind, times in by_reason(found):
        typer.echo(f"{times:6d}  {kind}")
    raise typer.Exit(int(ExitCode.FAILED))
