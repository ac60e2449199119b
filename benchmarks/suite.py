"""All of it: each benchmark in a process of its own, one table of ratios, and what got worse.

    python benchmarks/suite.py [--quick] [--only NAME …]

Writes docs/performance.md (between its marks) and docs/performance.json. A benchmark that was not
run keeps its rows, with the machine and the commit that they are of. A ratio that is worse than the
one that lies there by more than their ranges is named, and the exit code is then 1, as where a
benchmark failed. The table names a commit: in a tree whose files differ from it nothing is measured
(exit code 2), and what was measured while they changed is not kept. `--quick` makes less of each,
prints the table, writes nothing and runs in any tree. With a CUDA device the share of its peak
(MFU) is among them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import changes, described, has_cuda, revision
from measured import FILE, Row, read

ROOT = Path(__file__).resolve().parents[1]
WRITTEN = ("docs/performance.md", "docs/performance.json")
TABLE, KEPT = (ROOT / name for name in WRITTEN)
BEGIN, END = "<!-- suite: begin -->", "<!-- suite: end -->"
Kept = dict[str, dict[str, Any]]  # by script: machine, commit, date, seconds, rows


@dataclass(frozen=True)
class Entry:
    """A script of this folder with its `words`; those for less are `quick`.

    `cuda`: it needs such a device.
    """

    title: str
    quick: tuple[str, ...] = ("--quick",)
    words: tuple[str, ...] = ()
    cuda: bool = False


ENTRIES = {
    "train_speed": Entry("Training", quick=("--quick", "--rounds", "1")),
    "mfu": Entry("Share of a GPU's peak", quick=(), cuda=True),
    "cache": Entry("Encoder states kept"),
    "padding": Entry("Packed against padded"),
    "loss_memory": Entry(
        "The loss", quick=("--positions", "512", "--rounds", "1"), words=("--positions", "1024")
    ),
    "generation": Entry("Batches of questions"),
    "answering": Entry("One clip, asked from the start and again"),
    "loader": Entry("Reading clips"),
    "reading": Entry("Reading answers", quick=()),
    "growth": Entry("Clips and frames"),
    "ranks": Entry("Many ranks, by simulation"),
    "startup": Entry("Start-up of each command"),
}


def main() -> int:
    """Run what was asked for; 1: it failed or got worse, 2: it would be of no commit."""
    options = _arguments()
    commit = revision(ROOT)
    if not options.quick and (reason := _differs(commit)):
        print(f"nothing was measured: {reason}; --quick runs in any tree", file=sys.stderr)
        return 2
    kept: Kept = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    found: Kept = {}
    said: list[str] = []
    of = {"machine": described(), "commit": commit}
    for name in options.only or [n for n, e in ENTRIES.items() if has_cuda() or not e.cuda]:
        print(f"== {name}: {ENTRIES[name].title}", flush=True)
        began = time.perf_counter()
        rows = _run(name, options.quick)
        reason = "" if options.quick else _differs(commit)
        if not rows or reason:
            said.append(f"{name} is not kept: {reason}" if reason else f"{name} failed")
            continue
        seconds = round(time.perf_counter() - began)
        found[name] = {**of, "seconds": seconds, "rows": [asdict(row) for row in rows]}
        if not options.quick:  # at once: nothing of hours is lost if a later one is stopped
            said += worse(kept, {name: found[name]})
            _write({**kept, **found})
    print("\n".join([*(table(found) if options.quick else ()), *said]))
    return int(bool(said))


def _differs(commit: str) -> str:
    """Why what is measured now would not be of `commit`; nothing where it is."""
    now, files = revision(ROOT), changes(ROOT, but=WRITTEN)
    if now == "unknown":
        return "there is no git here to name a commit"
    if files:
        return f"{', '.join(files)} differ from the commit {now}: commit them or `git stash -u`"
    return "" if now == commit else f"{commit} was checked out, and now {now} is"


def _arguments() -> argparse.Namespace:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--quick", action="store_true", help="less of each; nothing is written")
    parser.add_argument("--only", nargs="*", default=[], choices=[*ENTRIES], metavar="NAME")
    return parser.parse_args()


def _run(name: str, quick: bool) -> list[Row]:
    """The rows of one benchmark, whose own table goes to the terminal; none where it failed."""
    words = ENTRIES[name].quick if quick else ENTRIES[name].words
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path_given = os.environ.get("PYTHONPATH")
        env = {
            **os.environ,
            FILE: str(path),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), path_given])),
        }
        command = [sys.executable, str(ROOT / f"benchmarks/{name}.py"), *words]
        done = subprocess.run(command, env=env, check=False)
        return read(path) if done.returncode == 0 else []


def worse(kept: Kept, found: Kept) -> Iterator[str]:
    """A line for each ratio that is worse than before on a machine of the same description."""
    for name, now in found.items():
        before = kept.get(name)
        if before is None or before["machine"] != now["machine"]:
            continue
        earlier = {(each["what"], each["against"]): Row(**each) for each in before["rows"]}
        for row in (Row(**each) for each in now["rows"]):
            old = earlier.get((row.what, row.against))
            if old is not None and row.is_worse_than(old):
                yield (
                    f"worse: {name}, {row.what} ÷ {row.against}: {row.ratio:.3g} "
                    f"({row.low:.3g} to {row.high:.3g}), was {old.ratio:.3g} "
                    f"({old.low:.3g} to {old.high:.3g}) at {before['commit']}"
                )


def table(kept: Kept) -> Iterator[str]:
    """The lines of docs/performance.md between its marks."""
    for name, entry in ENTRIES.items():
        if name not in kept:
            continue
        one = kept[name]
        yield f"### {entry.title}"
        yield ""
        command = " ".join(("python", f"benchmarks/{name}.py", *entry.words))
        yield f"`{command}` at `{one['commit']}`: {one['machine']}; {one['seconds']} s."
        yield ""
        yield "| what | against | ratio | range | n | better |"
        yield "|---|---|---|---|---|---|"
        for row in (Row(**each) for each in one["rows"]):
            cells = (row.what, row.against, f"{row.ratio:.3g}", _range(row), row.n, row.better)
            yield "| " + " | ".join(map(str, cells)) + " |"
        yield ""
    if left := [f"`{name}`" for name in ENTRIES if name not in kept]:
        yield f"Not run yet: {', '.join(left)}."


def _range(row: Row) -> str:
    return f"{row.low:.3g} – {row.high:.3g}" if row.n > 1 else "–"


def _write(kept: Kept) -> None:
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = TABLE.read_text(encoding="utf-8")
    head, tail = page.split(BEGIN)[0], page.split(END)[1]
    body = "\n".join(table(kept))
    TABLE.write_text(f"{head}{BEGIN}\n\n{body}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
