"""The words of a benchmark's question about one row."""

from __future__ import annotations

import re

from affect_mllm.data.template import of_row
from affect_mllm.types import DataError, Sample

_FIELD = re.compile(r"\{(\w+)(\??)\}")


def options_of(sample: Sample) -> dict[str, str]:
    """A row's options by letter."""
    options = sample.labels.get("options") or {}
    if isinstance(options, list):
        options = {chr(ord("A") + i): str(text) for i, text in enumerate(options)}
    return options


def names_labels(question: str) -> bool:
    """Whether a question has a `{key}`, and so other words for each row."""
    return _FIELD.search(question) is not None


def filled(question: str, sample: Sample, benchmark: str) -> str:
    """`question` with `{key}` as `labels.key` of the row and `{options}` as its lettered options.

    `{key?}` is the label and a line break, or nothing where the row has none; a list's parts stand
    between commas. `{speaker}` and `{context}` are the row's, as in instructions, unless it has a
    label `speaker`. DataError if the row lacks what it names.
    """

    def fill(match: re.Match[str]) -> str:
        if match[1] == "options":
            return "\n".join(f"{letter}. {text}" for letter, text in options_of(sample).items())
        if match[2]:
            return f"{_words(sample.labels[match[1]])}\n" if sample.labels.get(match[1]) else ""
        if match[1] == "context" or (match[1] == "speaker" and "speaker" not in sample.labels):
            return of_row(sample, match[1])
        if match[1] not in sample.labels:
            raise DataError(
                f"row {sample.id}",
                f"no labels.{match[1]}",
                expected=f"what the question of {benchmark} names",
            )
        return _words(sample.labels[match[1]])

    return _FIELD.sub(fill, question)


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
