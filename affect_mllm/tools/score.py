"""`affect-mllm score`: metrics of a predictions file, from files alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from affect_mllm.eval.score import Compat


def score_command(
    benchmark: Annotated[str, typer.Option(help="A name of conf/benchmark.")],
    predictions: Annotated[Path, typer.Option(help="predictions.jsonl: id, response a line.")],
    manifest: Annotated[Path, typer.Option(help="The manifest with the true labels.")],
    *,
    compat: Annotated[str, typer.Option(help="none or official (the publisher's rules).")] = "none",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the result to this file too.")] = None,
) -> None:
    """Score answers against a manifest; no model and no torch is loaded."""
    from affect_mllm.data import manifest as manifests
    from affect_mllm.eval.benchmarks import load_task
    from affect_mllm.eval.predictions import read_predictions, write_json_atomic
    from affect_mllm.eval.score import score

    task = load_task(benchmark)
    samples = manifests.read(manifest)
    rows = read_predictions(predictions, known_ids={sample.id for sample in samples})
    result = score(task, samples, rows, compat=_compat(compat))
    if out is not None:
        write_json_atomic(out, result)
    if as_json:
        sys.stdout.write(json.dumps(result, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    else:
        _print(result)


def _compat(value: str) -> Compat:
    from affect_mllm.types import ConfigError

    if value == "none":
        return "none"
    if value == "official":
        return "official"
    raise ConfigError("--compat", repr(value), expected="none or official")


def _print(result: dict[str, Any]) -> None:
    """A table of the metrics, one line of answer states, and the parts where there are any."""
    from rich.console import Console

    console = Console()
    title = f"{result['benchmark']} (version {result['version']})"
    console.print(_table(title + (" · SYNTHETIC" if result["synthetic"] else ""), result))
    states = ", ".join(f"{name} {count}" for name, count in result["status"].items() if count)
    console.print(f"answers: {states} · coverage {result['coverage']:.1%}", highlight=False)
    for key, parts in result["breakdowns"].items():
        for part, scores in parts.items():
            console.print(_table(f"{key} = {part}", scores))


def _table(title: str, scores: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in ("metric", "value", "95 % interval", "n", "unparsed"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, m in scores["metrics"].items():
        interval = f"{m['ci_low']:.3f} – {m['ci_high']:.3f}"
        table.add_row(name, f"{m['value']:.3f}", interval, str(m["n"]), str(m["n_unparsed"]))
    if other := scores.get("other_share"):
        interval = f"{other['ci_low']:.3f} – {other['ci_high']:.3f}"
        table.add_row("answers the other class", f"{other['value']:.3f}", interval, str(other["n"]))
    return table
