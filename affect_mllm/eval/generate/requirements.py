"""What a task requires of its rows and of the way it is asked, checked before anything slow."""

from __future__ import annotations

from collections.abc import Sequence

from affect_mllm.eval.generate.views import has
from affect_mllm.eval.task import Task
from affect_mllm.types import ConfigError, DataError, Sample


def check_required(task: Task, samples: Sequence[Sample]) -> None:
    """DataError naming the rows that lack a modality which the task requires."""
    for needed in task.require:
        lacking = [sample.id for sample in samples if not has(sample, needed)]
        if lacking:
            raise DataError(
                f"benchmark {task.name}",
                f"{len(lacking)} rows without {needed}: {', '.join(lacking[:10])}",
                expected=f"{needed} in every row (the task's `require`)",
            )


def check_classes(task: Task, swaps: Sequence[str]) -> None:
    """ConfigError where modalities are swapped and no class could tell whose clip is followed."""
    if swaps and task.kind in (
        *("regression", "distribution", "short_answer", "description", "open_vocabulary"),
        "claims",
    ):
        raise ConfigError(
            "swaps",
            f"{list(swaps)} for {task.name}, of kind {task.kind}",
            expected="[]: only answers that are classes tell which clip is followed",
        )


def check_closed(task: Task, answer_by: str) -> None:
    """ConfigError where likelihoods are asked for and the task has no list of single labels, or a
    head and it is not of one label among classes.
    """
    closed = task.kind in (
        "closed_label",
        "distribution",
        "sentiment",
        "statement_judgment",
        "multiple_choice",
    )
    if answer_by == "likelihood" and not (closed or task.levels):
        raise ConfigError(
            "answer_by", "likelihood", expected=f"generation, for a task of kind {task.kind}"
        )
    if answer_by == "head" and task.kind != "closed_label":
        raise ConfigError(
            "answer_by", "head", expected=f"generation, for a task of kind {task.kind}"
        )


def check_drawn(answer_by: str, *, repeats: int, decoding: str | None) -> None:
    """ConfigError where answers are to be drawn and none is generated."""
    asked = {"repeats": repeats, "decoding": decoding == "sampled"}
    for key, value in asked.items():
        if value and answer_by != "generation":
            got = f"{repeats if key == 'repeats' else decoding} with answer_by={answer_by}"
            raise ConfigError(key, got, expected="none: nothing is drawn there")


def check_other(**given: object) -> None:
    """ConfigError for options that only a checkpoint of ours can follow, where another is asked."""
    if asked := [key for key, value in given.items() if value]:
        raise ConfigError(
            ", ".join(asked),
            "of a model that is no checkpoint of ours",
            expected="only what any model can follow",
            fix="leave it out, or ask a checkpoint (checkpoint=DIR)",
        )
