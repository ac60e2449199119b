"""The command line that every recipe has: FOLDER, its own choices, the shared options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from recipe import SUBSET_FLAG, Dataset, Inputs, Rows, make, split_counts
from rich.console import Console

from affect_mllm.config import docs_dir
from affect_mllm.types import AffectError, ConfigError, DataError

Folder = Annotated[Path, typer.Argument(help="The folder as the publisher distributes it.")]


ADVICE = "compare it with what the publisher hands out, and fetch it again; nothing was written"
PRIVACY = "who is seen or heard has rights, and inferring emotions is regulated"


@dataclass(frozen=True)
class Plan:
    """What a recipe does for its user's choices; `variant` goes into the manifest's name."""

    dataset: Dataset
    rows: Rows
    variant: str = ""


def app(dataset: Dataset, rows: Rows) -> typer.Typer:
    """The command line of a recipe without options of its own."""

    def plan(folder: Folder) -> Plan:
        return Plan(dataset, rows)

    plan.__doc__ = f"Make a manifest of {dataset.title}."
    return command(plan)


def command(plan: Callable[..., Plan]) -> typer.Typer:
    """The command line of a recipe: what `plan` takes (first FOLDER, or a FILE), and `_shared`.

    `plan`'s docstring is the help.
    """
    own = inspect.signature(plan, eval_str=True).parameters
    shared = inspect.signature(_shared, eval_str=True).parameters
    first = next(iter(own))

    def main(**given: Any) -> None:
        choices = {name: given[name] for name in own}
        _run(plan, choices, given[first], {name: given[name] for name in shared})

    main.__signature__ = inspect.Signature([*own.values(), *shared.values()])  # type: ignore[attr-defined]
    main.__annotations__ = {name: each.annotation for name, each in (own | shared).items()}
    main.__doc__ = plan.__doc__
    result = typer.Typer(add_completion=False)
    result.command()(main)
    return result


def _shared(
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The manifest to write, anywhere that can be written.",
            show_default="manifest.jsonl in the folder with the media",
        ),
    ] = None,
    media_root: Annotated[
        Path | None,
        typer.Option(
            help="The folder with the media, laid out as in FOLDER, where it is another one.",
            show_default="FOLDER",
        ),
    ] = None,
    allow_count_mismatch: Annotated[
        bool,
        typer.Option(
            SUBSET_FLAG,
            help="You hold a part of the dataset: leave out splits that are not there and rows "
            "without media, check no counts.",
        ),
    ] = False,
    labels_only: Annotated[
        bool,
        typer.Option(
            "--labels-only",
            help="Look for no media and name none: rows to score answers by, not to train on.",
        ),
    ] = False,
    words_only: Annotated[
        bool,
        typer.Option(
            "--words-only",
            help="Look for no media and name none: rows of what is said, to train on and to ask.",
        ),
    ] = False,
) -> None:
    """The options of every recipe: this signature is what `command` reads."""


def _run(
    plan: Callable[..., Plan], choices: dict[str, Any], given: Path, shared: dict[str, Any]
) -> None:
    """Make the manifest, or leave with exit code 1 (the data) or 2 (wrong use) and one message."""
    console = Console(highlight=False, soft_wrap=True)
    folder = given.parent if given.is_file() else given
    words, labels = shared["words_only"], shared["labels_only"]
    inputs = Inputs(
        folder,
        shared["media_root"] or folder,
        shared["allow_count_mismatch"],
        labels_only=labels or words,
        words_only=words,
    )
    try:
        if labels and words:
            raise ConfigError("--labels-only", "and --words-only", expected="one of them")
        planned = plan(**choices)
        show_terms(console, planned.dataset)
        parts = ("manifest", planned.variant, "words" if words else "labels" if labels else "")
        out = shared["out"] or inputs.media_root / f"{'-'.join(filter(None, parts))}.jsonl"
        written = make(planned.dataset, planned.rows, inputs, out)
        for note in inputs.notes:
            console.print(f"note: {note}", markup=False)
        counts = ", ".join(f"{split} {n}" for split, n in sorted(split_counts(written).items()))
        console.print(f"wrote {out}: {len(written)} rows ({counts})", markup=False)
    except AffectError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            str(with_advice(error)), style="red", markup=False
        )
        raise typer.Exit(int(error.exit_code)) from None


def with_advice(error: AffectError) -> AffectError:
    """The same error; where it says no way out, with the one that the publisher's files have."""
    if not isinstance(error, DataError) or error.expected or error.fix:
        return error
    return DataError(error.where, error.got, fix=ADVICE)


def show_terms(console: Console, dataset: Dataset) -> None:
    """Print what a user has to accept before using the data."""
    for name in ("title", "licence", "access", "source"):
        console.print(f"{name:8} {getattr(dataset, name)}", markup=False)
    console.print(f"privacy  {PRIVACY}: {docs_dir() / 'privacy.md'}", markup=False)
