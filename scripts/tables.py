"""The tables of docs/ that conf/ says already: `python scripts/tables.py` names those that differ,
with `--write` it writes them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from affect_mllm.eval.benchmarks import benchmark_names, load_task

DOCS = Path(__file__).resolve().parents[1] / "docs"


def benchmarks() -> Iterator[str]:
    """A row for each benchmark of conf/benchmark."""
    for name in benchmark_names():
        task = load_task(name)
        cells = [f"`{name}`", task.kind, task.split or "all rows", ", ".join(task.metrics)]
        scorers = ["publisher" if name == "official" else name for name in task.scorers]
        yield _row(*cells, ", ".join(scorers) or "–", task.status)


FIRST = "metrics, the primary first"
# Page, the head of its table, and what makes the rows.
TABLES: list[tuple[str, tuple[str, ...], Callable[[], Iterator[str]]]] = [
    (
        "evaluation.md",
        ("benchmark", "kind", "split", FIRST, "others' scorers", "status"),
        benchmarks,
    ),
]


def written(page: str, head: tuple[str, ...], rows: Iterator[str]) -> str:
    """The page with these rows under the table's head; ValueError if it has no such table."""
    lines = page.splitlines(keepends=True)
    start = lines.index(f"{_row(*head)}\n") + 2
    end = next((at for at in range(start, len(lines)) if not lines[at].startswith("|")), len(lines))
    return "".join([*lines[:start], *(f"{row}\n" for row in rows), *lines[end:]])


def main(*, write: bool) -> int:
    """0 if every table is as it should be, or was written; else 1."""
    differ = []
    for name, head, rows in TABLES:
        path = DOCS / name
        page = path.read_text(encoding="utf-8")
        made = written(page, head, rows())
        if made == page:
            continue
        differ.append(f"docs/{name}: the table of each {head[0]}")
        if write:
            path.write_text(made, encoding="utf-8")
    if differ:
        print("\n".join([*differ, "written" if write else "differ: run it with --write"]))
    return int(bool(differ) and not write)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main(write="--write" in sys.argv[1:]))
