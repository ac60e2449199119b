"""aeb: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write

SETS: dict[str, list[tuple[str, object]]] = {
    "SST_test": [("Task: Score it from 0 to 1. Text: A rainy film Sentiment score: ", 0.25)],
    "sst5_test": [("Task: Classify it. Text: A fine film. Sentiment Class: ", "3: positive")],
    "TDT": [("Task: Classify it. Text: He lost again. Intensity Class: ", -1)],
    "emobank_test": [
        ("Task: Determine the arousal intensity of it. Text: Run! Intensity Score: ", 4.2)
    ],
    "goemotion_test": [
        ("Task: Categorize it. Text: Oh no This tweet contains emotions: ", "fear, surprise")
    ],
    "vader_test": [("Task: Score it from -4 to 4. Text: Good food Sentiment score: ", -1.5)],
}


def lines(path: Path, *rows: tuple[str, object]) -> Path:
    made = [{"instruction": asked, "input": "", "output": output} for asked, output in rows]
    return write(path, "".join(json.dumps(row) + "\n" for row in made))


def make(root: Path, kit: Kit) -> Made:
    del kit  # text alone
    for name, rows in SETS.items():
        path = lines(root / f"{name}.json", *rows)
    return Made([str(root)], path, len(SETS))
