"""The page about runs against each other, and the samples that only one of two has right."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from affect_mllm.eval.files import write_text_atomic
from affect_mllm.eval.report import charts
from affect_mllm.eval.report.html import environment, signed
from affect_mllm.eval.score.against import differing
from affect_mllm.eval.score.runs import Run

SHOWN = 100  # samples of each pair; all of them are in the file


def write_comparison(runs: Sequence[Run], rows: Sequence[dict[str, Any]], out: Path) -> list[Path]:
    """Write OUT/compare.html and OUT/differences.jsonl of what `against.compared` gave."""
    samples = [*differing(runs, rows)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in samples)
    write_text_atomic(Path(out) / "differences.jsonl", text)
    page = environment().get_template("compare.html.j2")
    by_benchmark = {name: [row for row in rows if row["benchmark"] == name]
                    for name in dict.fromkeys(row["benchmark"] for row in rows)}  # fmt: skip
    html = page.render(
        names=[*dict.fromkeys(run.name for run in runs)],
        shown=SHOWN,
        benchmarks=[_benchmark(name, found, runs, samples) for name, found in by_benchmark.items()],
        synthetic=any(run.task.synthetic for run in runs),
    )
    write_text_atomic(Path(out) / "compare.html", html)
    return [Path(out) / "compare.html", Path(out) / "differences.jsonl"]


def _benchmark(
    name: str, rows: list[dict[str, Any]], runs: Sequence[Run], samples: list[dict[str, Any]]
) -> dict[str, Any]:
    known = [row for row in rows if row["comparable"]]
    return {
        "name": name,
        "first": rows[0]["first"],
        "task": next(run.task for run in runs if run.task.name == name),
        "metric": known[0]["metric"] if known else None,
        "rows": rows,
        "chart": _chart(known, "run", f"difference of each run to {rows[0]['first']}"),
        "pairs": [_pair(row, samples) for row in known],
    }


def _pair(row: dict[str, Any], samples: list[dict[str, Any]]) -> dict[str, Any]:
    mine = [s for s in samples if s["benchmark"] == row["benchmark"] and s["run"] == row["run"]]
    keys = dict.fromkeys(part["key"] for part in row["parts"])
    parts = {key: [part for part in row["parts"] if part["key"] == key] for key in keys}
    return row | {
        "parts": [
            {"key": key, "metric": found[0]["difference"]["name"], "rows": found,
             "chart": _chart(found, "part", f"difference by {key}")}
            for key, found in parts.items()
        ],
        "samples": [
            (name, [_sample(s, row) for s in mine if s["right"] == name][:SHOWN],
             len(row[f"only_{side}"]))
            for side, name in (("first", row["first"]), ("this", row["run"]))
        ],
    }  # fmt: skip


def _sample(sample: dict[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    answers = [sample["answers"][row[side]] for side in ("first", "run")]
    return {"id": sample["id"], "truth": _text(sample["truth"]),
            "answers": [_said(each) for each in answers]}  # fmt: skip


def _said(answer: Mapping[str, Any]) -> tuple[str, str]:
    """What was read, or why nothing was; and the words, where they say more."""
    read = answer["status"] if answer["answer"] is None else _text(answer["answer"])
    words = answer["response"] or ""
    return read, "" if words == read else words


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {share:.2f}" for key, share in value.items())
    return str(value)


def _chart(rows: Sequence[Mapping[str, Any]], label: str, title: str) -> Markup:
    items = [
        charts.Gap(row[label], d["value"], d["ci_low"], d["ci_high"], signed(d["value"], d["name"]))
        for row in rows
        if (d := row["difference"])["value"] is not None
    ]
    name = rows[0]["difference"]["name"] if rows else ""
    return charts.gaps(items, title=title, tick=lambda value: signed(value, name))
