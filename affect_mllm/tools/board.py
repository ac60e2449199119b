"""`affect-mllm board`: a leaderboard of many runs, of those together that are comparable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affect_mllm.log import working
from affect_mllm.tools import options

if TYPE_CHECKING:
    from affect_mllm.eval.score.runs import Run


def board_command(
    folders: Annotated[
        list[Path], typer.Argument(help="Runs (a results.json each), or folders that hold them.")
    ],
    *,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(help="Only these; again for each.", show_default="all"),
    ] = None,
    variants: Annotated[
        bool, typer.Option("--variants", help="Of eval.py's runs all variants, not the reference.")
    ] = False,
    across: options.Across = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not Markdown.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="A folder for board.md, board.csv and board.html.")
    ] = None,
) -> None:
    """Rank runs by benchmark; each number with n, interval, unread rate, prompt and checkpoint."""
    from affect_mllm.eval.files import rounded
    from affect_mllm.eval.report.leaderboard import markdown, write_board
    from affect_mllm.eval.score.board import board

    with working("reading answers"):
        runs, absent = _read(folders, variants=variants)
    wanted = [run for run in runs if not benchmark or run.task.name in benchmark]
    _refuse_nothing(runs, wanted, absent)
    with working("comparing"):
        groups = rounded(board(wanted, across=options.kinds(across)))
    if out is not None:
        for path in write_board(groups, absent, out):
            typer.echo(path, err=True)
    if as_json:
        content = {"groups": groups, "not_read": absent}
        typer.echo(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False))
    else:
        typer.echo("\n".join(markdown(groups, absent)))


def _read(folders: Sequence[Path], *, variants: bool) -> tuple[list[Run], list[str]]:
    """The runs, and a sentence about each result that is none of ours."""
    from affect_mllm.eval.score.runs import found_in, names, runs_in
    from affect_mllm.types import DataError

    paths = list(dict.fromkeys(path for folder in folders for path in found_in(folder)))
    runs: list[Run] = []
    absent: list[str] = []
    for path, name in zip(paths, names(paths), strict=True):
        try:
            runs += runs_in(path, name, "all" if variants else None)
        except DataError as error:
            absent.append(" ".join(str(error).split()))
    return runs, absent


def _refuse_nothing(runs: Sequence[Run], wanted: Sequence[Run], absent: Sequence[str]) -> None:
    from affect_mllm.types import ConfigError, DataError

    if not runs:
        raise DataError("board", "\n    ".join(absent), expected="results that can be read")
    if not wanted:
        known = sorted({run.task.name for run in runs})
        raise ConfigError("--benchmark", "none of the runs has it", expected=f"some of {known}")
