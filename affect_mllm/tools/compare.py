"""`affect-mllm compare`: runs against each other on the samples that both have."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from affect_mllm.log import working
from affect_mllm.tools import options


def compare_command(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Results of `score` (--out and --log) or eval.py: folders or files."),
    ],
    *,
    metric: Annotated[
        str | None, typer.Option(help="What is compared.", show_default="the first metric")
    ] = None,
    across: options.Across = "",
    variant: Annotated[
        str | None,
        typer.Option(help="Of eval.py's runs: such as face.", show_default="the reference"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="A folder for compare.html and differences.jsonl.")
    ] = None,
) -> None:
    """Compare each run with the first: difference, interval, p, and who alone is right.

    Runs of another benchmark version, prompt, modality set, way of reading or labels are named
    with the reason, and not compared.
    """
    from affect_mllm.eval.files import rounded
    from affect_mllm.eval.report.comparison import write_comparison
    from affect_mllm.eval.score.against import compared
    from affect_mllm.eval.score.runs import names, runs_in
    from affect_mllm.types import ConfigError, DataError

    called = names(runs)
    if len(set(called)) < max(len(called), 2):
        raise ConfigError(
            "RUN", f"{len(set(called))} run(s)", expected="two different ones or more"
        )
    with working("reading answers and comparing them"):
        found = [run for path, name in zip(runs, called, strict=True)
                 for run in runs_in(path, name, variant)]  # fmt: skip
        rows = compared(found, metric=metric, across=options.kinds(across))
    if not rows:
        told = "; ".join(f"{run.name}: {run.task.name}" for run in found)
        raise DataError("compare", told, expected="a benchmark that two of them have")
    if out is not None:
        for path in write_comparison(found, rows, out):
            typer.echo(path, err=True)
    if as_json:
        typer.echo(json.dumps(rounded(rows), indent=1, sort_keys=True, ensure_ascii=False))
    else:
        typer.echo("\n".join(_text(rows)))


def _text(rows: list[dict[str, Any]]) -> Iterator[str]:
    """80 columns: a block for each run."""
    for number, row in enumerate(rows):
        title = f"{row['benchmark']}: {row['run']} against {row['first']}"
        yield from ([""] if number else [])
        yield from textwrap.wrap(title, 80)
        if not row["comparable"]:
            for reason in row["reasons"]:
                yield from _wrapped(f"not comparable: {reason}")
            continue
        yield from _numbers(row)
        for note in row["notes"]:
            yield from _wrapped(f"note: {note}")
        yield from _parts(row)


def _numbers(row: dict[str, Any]) -> Iterator[str]:
    d, name = row["difference"], row["metric"]
    first, this = (row["metrics"][side][name]["value"] for side in ("first", "run"))
    yield (
        f"  {name} {_plain(first)} → {_plain(this)}: {_signed(d['value'])} {_ends(d)}, "
        f"p {_p(row['p'])}" + ("" if row["p_holm"] == row["p"] else f" (Holm {_p(row['p_holm'])})")
    )
    left, n = row["left_out"], row["n"]
    yield f"  {n} common samples; left out: {left['first']} of the first, {left['run']} of this"
    alone = len(row["only_first"]), len(row["only_this"])
    yield f"  right alone: the first {alone[0]}, this {alone[1]}"


def _parts(row: dict[str, Any]) -> Iterator[str]:
    key = None
    for part in row["parts"]:
        d = part["difference"]
        if part["key"] != key:
            key = part["key"]
            yield f"  by {key}, {d['name']}:"
            yield f"    {'':20}{'n':>6} {'first':>7} {'this':>7} {'diff.':>7}  interval, Holm's p"
        yield (
            f"    {part['part'][:20]:20}{part['n']:>6} {_plain(part['first']):>7} "
            f"{_plain(part['this']):>7} {_signed(d['value']):>7}  {_ends(d)} {_p(part['p_holm'])}"
        )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 80, initial_indent="  ", subsequent_indent="    ")


def _ends(d: dict[str, Any]) -> str:
    return "no interval" if d["ci_low"] is None else f"[{d['ci_low']:+.3f}, {d['ci_high']:+.3f}]"


def _plain(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "none" if value is None else f"{value:+.3f}"


def _p(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"
