"""`affect-mllm score`: metrics of a predictions file, from files alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affect_mllm.tools import options

if TYPE_CHECKING:
    from affect_mllm.eval.score.scoring import Compat
    from affect_mllm.types import Sample


def score_command(
    benchmark: Annotated[str, typer.Option(help="A name of conf/benchmark, or a YAML file.")],
    predictions: Annotated[
        Path, typer.Option(help="id, response: JSON lines, CSV, TSV, Parquet or XLSX.")
    ],
    manifest: Annotated[
        list[Path], typer.Option(help="The manifest with the true labels; again for each fold.")
    ],
    *,
    form: options.PredictionsForm = "ours",
    id_key: options.IdKey = None,
    response_key: options.ResponseKey = None,
    id_template: options.IdTemplate = None,
    compat: Annotated[
        str,
        typer.Option(
            help="none, or whose rules: official (the publisher's), lmms-eval, vlmevalkit."
        ),
    ] = "none",
    wheel_tables: Annotated[
        Path | None, typer.Option(help="Published emotion-wheel tables: a folder.")
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option(help="What `affect-mllm judge` wrote, for a judged benchmark.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the result to this file too (RUN/results.json).")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Write a row for each sample: truth, answer, status.")
    ] = None,
) -> None:
    """Score answers against a manifest; no model and no torch is loaded."""
    from affect_mllm.eval.benchmarks import load_task
    from affect_mllm.eval.emotion_wheel.published import read_tables
    from affect_mllm.eval.files import rounded, write_json_atomic
    from affect_mllm.eval.prediction_forms import form_of, matching
    from affect_mllm.eval.predictions import read_predictions
    from affect_mllm.eval.read.verdicts import read_verdicts
    from affect_mllm.eval.score.sample_log import write_log
    from affect_mllm.eval.score.scoring import read_answers, score
    from affect_mllm.log import LOGGER, working
    from affect_mllm.types import ConfigError

    task, *others = (load_task(benchmark, each) for each in manifest)
    if any(each != task for each in others):
        raise ConfigError(
            "--manifest",
            "several with other labels",
            expected=f"folds of one dataset, of which {benchmark} is one task",
        )
    samples = _samples(manifest, task.split)
    told = form_of(form, id_key=id_key, response_key=response_key, id_template=id_template)
    known = {sample.id for sample in samples}
    if id_template is None:
        told = matching(predictions, told, known, task.id_templates)
        if told.id_template != "{id}":
            LOGGER.info(
                "%s: ids are read as %s, a form of %s", predictions, told.id_template, task.name
            )
    rows = read_predictions(predictions, known_ids=known, form=told)
    tables = None if wheel_tables is None else read_tables(wheel_tables)
    judged = None if verdicts is None else read_verdicts(verdicts)
    with working("scoring"):
        result = score(task, samples, rows, compat=_compat(compat), tables=tables, verdicts=judged)
    result |= {"task": asdict(task), "manifest": [str(path) for path in manifest]}
    result |= {"predictions": str(predictions), "id_template": told.id_template}
    if log is not None:
        write_log(log, task, read_answers(task, samples, rows, tables=tables, verdicts=judged))
        result["log"] = os.path.relpath(log, (out or log).parent)
    result = rounded(result)
    if out is not None:
        write_json_atomic(out, result)
    if as_json:
        sys.stdout.write(json.dumps(result, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    else:
        _print(result)


def _samples(paths: Sequence[Path], split: str | None) -> list[Sample]:
    """The rows of one manifest; of several (folds) those of the split, each id in one of them."""
    from affect_mllm.data import manifest as manifests
    from affect_mllm.types import DataError

    if len(paths) == 1:
        return list(manifests.read(paths[0], media=False))
    found: dict[str, tuple[Path, Sample]] = {}
    again: list[str] = []
    for path in paths:
        for sample in manifests.read(path, media=False):
            if split is None or sample.split == split:
                again += [sample.id] if sample.id in found else []
                found[sample.id] = (path, sample)
    if again:
        shown = ", ".join(again[:10])
        raise DataError(
            "--manifest", f"{len(again)} ids in several: {shown}", expected="each id in one fold"
        )
    return [sample for _, sample in found.values()]


def _compat(value: str) -> Compat:
    from typing import get_args

    from affect_mllm.eval.score.scoring import Compat
    from affect_mllm.types import ConfigError

    found: Compat | None = next((each for each in get_args(Compat) if each == value), None)
    if found is None:
        raise ConfigError("--compat", repr(value), expected=f"one of {list(get_args(Compat))}")
    return found


def _print(result: dict[str, Any]) -> None:
    """A table of the metrics, one line of answer states, and the parts where there are any."""
    from rich.console import Console

    console = Console()
    console.print(_table(_title(result), result))
    states = ", ".join(f"{name} {count}" for name, count in result["status"].items() if count)
    console.print(f"answers: {states} · coverage {result['coverage']:.1%}", highlight=False)
    for line in _notes(result):
        console.print(line, highlight=False)
    if "official" in result:
        console.print(_beside(result["official"], result["compat"]))
        for sentence in result["official"]["differences"]:
            console.print(f"· {sentence}", highlight=False)
    for key, parts in result["breakdowns"].items():
        for part, scores in parts.items():
            console.print(_table(f"{key} = {part}", scores))


def _title(result: dict[str, Any]) -> str:
    marks = " · SYNTHETIC" if result["synthetic"] else ""
    marks += " · PROVISIONAL PROTOCOL" if result["protocol"] == "provisional" else ""
    marks += f" · {_whose(result['compat'])} rules" if result["compat"] != "none" else ""
    return f"{result['benchmark']} (version {result['version']}){marks}"


def _notes(result: dict[str, Any]) -> Iterator[str]:
    name, first = next(iter(result["metrics"].items()))
    if first["n_unparsed"] and first.get("if_unread_right") is not None:
        yield (
            f"what was not read: {name} {_number(first['if_unread_wrong'])} with all of it wrong, "
            f"{_number(first['if_unread_right'])} with all of it right"
        )
    if wheel := result.get("emotion_wheel"):
        yield (
            f"emotion wheel: tables {wheel['tables']} ({wheel['version']}), which have "
            f"{wheel['truth_coverage']:.1%} of the true labels and "
            f"{wheel['answers_coverage']:.1%} of the answered ones"
        )


def _table(title: str, scores: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in ("metric", "value", "95 % interval", "n", "unparsed"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, m in scores["metrics"].items():
        cells = (_number(m["value"]), _interval(m), str(m["n"]), str(m["n_unparsed"]))
        table.add_row(f"{name}{_occurring(m)}", *cells)
    if other := scores.get("other_share"):
        share = _number(other["value"])
        table.add_row("answers the other class", share, _interval(other), str(other["n"]))
    return table


def _whose(compat: str) -> str:
    return "publisher's" if compat == "official" else f"{compat}'s"


def _beside(official: dict[str, Any], compat: str) -> Any:
    from rich.table import Table

    whose = "publisher" if compat == "official" else compat
    table = Table(title=f"{whose} ({official['source']}) and ours", title_justify="left")
    for column in ("metric", whose, "ours", "difference", f"n {whose}", "n ours"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, line in official["table"].items():
        numbers = (_number(line[key]) for key in ("official", "ours", "difference"))
        table.add_row(name, *numbers, str(line["n_official"]), str(line["n_ours"] or "–"))
    return table


def _occurring(m: dict[str, Any]) -> str:
    """Says where a mean over all classes has some of which no sample is: they count as 0."""
    listed, found = m.get("n_classes", 0), m.get("n_classes_occurring", 0)
    return f" (only {found} of {listed} classes occur)" if found < listed else ""


def _interval(scores: dict[str, Any]) -> str:
    if scores["ci_low"] is None:
        return scores.get("interval", "none")
    return f"{_number(scores['ci_low'])} – {_number(scores['ci_high'])}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
