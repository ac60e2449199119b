"""Makes the synthetic corpus: `python data_recipes/synthetic.py --out DIR`.

Short mp4 clips of a drawn face that moves, a pseudo-sentence spoken with emotional prosody and a
subtitle, for seven emotions. Each modality leaves two pairs of classes undecided by design, so
that fusion is needed, and `corpus.json` states the best accuracy that any model can reach from
each subset of modalities. Everything is synthetic. The voices come from eSpeak NG (GPL-3.0-or-
later), a separate tool that runs in its own process.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table
from synthetic_parts import build

from affect_mllm.types import AffectError, ConfigError

APP = typer.Typer(add_completion=False)


@APP.command()
def main(
    out: Annotated[Path, typer.Option(help="folder to write the corpus to")],
    seed: Annotated[int, typer.Option(min=0)] = 1,
    train: Annotated[int, typer.Option(help="clips, a multiple of 7")] = 1050,
    val: Annotated[int, typer.Option(help="clips, a multiple of 7")] = 105,
    test: Annotated[int, typer.Option(help="clips, a multiple of 7")] = 364,
    conflict: Annotated[int, typer.Option(help="clips, a multiple of 21")] = 126,
    jobs: Annotated[int, typer.Option(min=1, help="processes")] = 2,
) -> None:
    """Make the synthetic corpus: drawn faces, synthetic voices, composed subtitles."""
    sizes = {"train": train, "val": val, "test": test, "conflict": conflict}
    try:
        run(out, sizes, seed=seed, jobs=jobs)
    except AffectError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(int(error.exit_code)) from None


def run(out: Path, sizes: dict[str, int], *, seed: int, jobs: int) -> None:
    """Makes the corpus, or what is left to make of it; ConfigError on a wrong size or folder."""
    check(out, sizes)
    console = Console(highlight=False, soft_wrap=True)
    if build.is_done(out, sizes, seed):
        console.print(f"the synthetic corpus in {out} is complete (seed {seed}); re-using it")
        show(console, json.loads((out / "corpus.json").read_text()))
        return
    clips = build.prepare(out, sizes, seed)
    todo = build.missing(out, clips)
    if len(todo) < len(clips):
        console.print(f"re-using {len(clips) - len(todo)} clips in {out}")
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("making synthetic clips", total=len(todo))
        for made in build.make_clips(out, todo, jobs=jobs):
            bar.advance(task, made)
    show(console, build.finish(out, clips, seed=seed))


def check(out: Path, sizes: dict[str, int]) -> None:
    """ConfigError if `out` cannot be a folder or a size does not divide."""
    found = next((p for p in (out, *out.parents) if p.exists() and not p.is_dir()), None)
    if found is not None:
        raise ConfigError(
            "--out", f"{found} is a file", expected="a folder", fix="name another folder"
        )
    for split, size in sizes.items():
        step = 21 if split == "conflict" else 7
        if size < 0 or size % step:
            raise ConfigError(
                f"--{split}",
                str(size),
                expected=f"a multiple of {step}",
                fix="the seven classes (and three conflict parts) need equal counts",
            )


def show(console: Console, stated: dict[str, Any]) -> None:
    """Prints the counts and ceilings of a corpus."""
    counts = ", ".join(f"{split} {count}" for split, count in stated["counts"].items())
    console.print(f"synthetic corpus, seed {stated['seed']}, clips: {counts}")
    table = Table(title="best accuracy any model can reach")
    table.add_column("modalities")
    columns: dict[str, dict[str, float]] = stated["ceilings"]
    for split in columns:
        table.add_column(split, justify="right")
    for name in next(iter(columns.values()), {}):
        table.add_row(name, *(f"{values[name]:.1%}" for values in columns.values()))
    for part, value in stated["conflict_ceilings"].items():
        table.add_row(f"conflict, {part}", *([""] * (len(columns) - 1)), f"{value:.1%}")
    console.print(table)


if __name__ == "__main__":
    APP()
