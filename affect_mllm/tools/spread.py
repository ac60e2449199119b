"""`affect-mllm spread`: several runs of one thing, such as seeds, as mean and spread."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from affect_mllm.types import DataError


class Spread(NamedTuple):
    """One number over several runs; `sd` is the sample's (n − 1)."""

    n: int
    mean: float
    sd: float
    least: float
    most: float


def spread_command(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="Runs, or one folder that holds them (as `-m` leaves it).")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Sum up runs: each stage's last loss and validation, each benchmark's metrics."""
    found = summed_up(runs_in(run_dirs))
    if as_json:
        typer.echo(json.dumps({name: value._asdict() for name, value in found.items()}, indent=1))
        return
    width = max(map(len, found))
    typer.echo(f"{'':{width}} {'n':>3} {'mean':>10} {'sd':>10} {'least':>10} {'most':>10}")
    for name, s in found.items():
        numbers = " ".join(f"{value:10.4f}" for value in (s.mean, s.sd, s.least, s.most))
        typer.echo(f"{name:{width}} {s.n:>3} {numbers}")


def runs_in(folders: Sequence[Path]) -> list[Path]:
    """The run directories among `folders`, or below the only one that is none itself.

    Raises DataError for fewer than two runs, and for one that is not finished.
    """
    runs = list(folders)
    if len(runs) == 1 and not (runs[0] / "status.json").is_file():
        runs = sorted(path.parent for path in runs[0].glob("*/status.json"))
    for run in runs:
        status = run / "status.json"
        state = json.loads(status.read_text())["state"] if status.is_file() else "missing"
        if state != "done" and not (run / "results.json").is_file():
            raise DataError(str(run), f"status {state}", expected="a finished run")
    if len(runs) < 2:
        raise DataError(
            ", ".join(map(str, folders)),
            f"{len(runs)} run(s)",
            expected="at least two",
            fix="name several run directories, or the folder that `train.py -m` made",
        )
    return runs


def summed_up(runs: Sequence[Path]) -> dict[str, Spread]:
    """Every number that all runs have, by name. Raises DataError where there is none."""
    rows = [dict(_numbers(run)) for run in runs]
    names = [name for name in rows[0] if all(name in row for row in rows)]
    if not names:
        raise DataError(
            ", ".join(map(str, runs)),
            "no number that all of them have",
            fix="name finished runs of one experiment, or their folder",
        )
    return {name: _spread([row[name] for row in rows]) for name in names}


def _numbers(run: Path) -> Iterator[tuple[str, float]]:
    for log in sorted(run.glob("**/metrics.jsonl")):
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        last = rows[-1]
        losses = [row["loss"] for row in rows if "loss" in row]
        if losses:
            yield f"{last['stage']}/loss", losses[-1]
        for name, value in last.get("eval", {}).items():
            yield f"{last['stage']}/{name}", value
    results = run / "results.json"
    if results.is_file():
        for name, summary in json.loads(results.read_text())["runs"].items():
            for variant, scored in summary["variants"].items():
                yield from _metrics(f"{name}/{variant}", scored["metrics"])


def _metrics(prefix: str, metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, found in metrics.items():
        if found["value"] is not None:
            yield f"{prefix}/{name}", float(found["value"])


def _spread(values: Sequence[float]) -> Spread:
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    return Spread(len(values), mean, sd, min(values), max(values))
