"""A leaderboard in Markdown, as a CSV with a row for each number, and as a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from affect_mllm.eval.files import write_text_atomic
from affect_mllm.eval.report.html import environment, interval, shown

COLUMNS = (
    *("benchmark", "version", "group", "apart", "rank", "run", "metric", "value", "ci_low"),
    *("ci_high", "n", "n_unparsed", "unread", "coverage", "prompt", "subset", "extraction"),
    *("rules", "checkpoint", "truth_hash", "protocol", "synthetic"),
)


def write_board(groups: Sequence[dict[str, Any]], absent: Sequence[str], out: Path) -> list[Path]:
    """Write OUT/board.md, board.csv and board.html of what `board.board` gave.

    `absent` are sentences about results that could not be read.
    """
    page = environment().get_template("board.html.j2")
    made = {
        "board.md": "\n".join(markdown(groups, absent)) + "\n",
        "board.csv": table(groups),
        "board.html": page.render(groups=[_titled(group) for group in groups], absent=absent),
    }
    for name, text in made.items():
        write_text_atomic(Path(out) / name, text)
    return [Path(out) / name for name in made]


def markdown(groups: Sequence[dict[str, Any]], absent: Sequence[str] = ()) -> Iterator[str]:
    """The lines of the Markdown page: a table for each group."""
    yield "# Leaderboard"
    for group in groups:
        yield from ("", f"## {_title(group)}", "", f"{_facts(group)}.", "")
        if group["apart"]:
            first = f"**Not comparable with the first table of {group['benchmark']}**"
            yield from (f"{first}: {'; '.join(group['apart'])}.", "")
        own = [kind for kind, value in group["shared"].items() if value is None]
        extra = [kind for kind in own if kind != "prompt"]
        heads = ["", "run", *group["metrics"], "n", "unread", "prompt", *extra, "checkpoint"]
        yield _row(heads)
        yield _row(
            ["---:", "---", *["---:"] * (len(group["metrics"]) + 2), *["---"] * (len(extra) + 2)]
        )
        for rank, row in enumerate(group["rows"], start=1):
            numbers = [_measured(found, name) for name, found in row["metrics"].items()]
            cells = [str(rank), row["run"], *numbers, str(row["n"]), f"{row['unread']:.1%}"]
            yield _row([*cells, row["prompt"], *(row[kind] for kind in extra), row["checkpoint"]])
    if absent:
        yield from ("", "## Not read", "", *(f"- {each}" for each in absent))


def table(groups: Sequence[dict[str, Any]]) -> str:
    """CSV with a row for each metric of each run; groups are numbered within their benchmark."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    numbers: dict[str, int] = {}
    for group in groups:
        number = numbers[group["benchmark"]] = numbers.get(group["benchmark"], 0) + 1
        for rank, row in enumerate(group["rows"], start=1):
            told = {**group, **group["shared"], **row, "group": number, "rank": rank,
                    "apart": "; ".join(group["apart"])}  # fmt: skip
            for metric, found in row["metrics"].items():
                writer.writerow(told | {"metric": metric, **found})
    return out.getvalue()


def _titled(group: dict[str, Any]) -> dict[str, Any]:
    own = [kind for kind, value in group["shared"].items() if value is None and kind != "prompt"]
    return group | {"title": _title(group), "facts": _facts(group), "own": own}


def _title(group: Mapping[str, Any]) -> str:
    marks = [", synthetic"] if group["synthetic"] else []
    marks += [", provisional protocol"] if group["protocol"] == "provisional" else []
    return f"{group['benchmark']}, version {group['version']}{''.join(marks)}"


def _facts(group: Mapping[str, Any]) -> str:
    shared = group["shared"]
    said = [
        f"{group['n']} samples of {shared['split']} in {group['n_groups']} groups",
        f"rules: {shared['rules']}",
    ]
    for kind, name in (("prompt", "prompt"), ("subset", "seen"), ("extraction", "read by")):
        told = shared[kind]
        said.append(f"{name}: {'each its own, compared on purpose' if told is None else told}")
    return "; ".join([*said, f"labels {group['truth_hash'] or 'not recorded'}"])


def _measured(found: Mapping[str, Any], metric: str) -> str:
    return f"{shown(found['value'], metric)} [{interval(found, metric)}]"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
