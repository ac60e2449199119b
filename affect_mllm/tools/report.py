"""`affect-mllm report`: one HTML page about one or several runs, from files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affect_mllm.log import working
from affect_mllm.tools import options


def report_command(
    run_dirs: Annotated[list[Path], typer.Argument(help="Run directories with a results.json.")],
    *,
    across: options.Across = "",
    out: Annotated[
        Path | None, typer.Option(help="The page; default: report.html in the first run directory.")
    ] = None,
) -> None:
    """Write a self-contained HTML report; it needs no network and no model."""
    with working("reading answers and drawing the page"):
        from affect_mllm.eval.report.page import write_report

        page = out or run_dirs[0] / "report.html"
        written = write_report(run_dirs, page, across=options.kinds(across))
    typer.echo(written)
