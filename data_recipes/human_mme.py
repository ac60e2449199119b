"""Human-MME → manifest: `python data_recipes/human_mme.py FOLDER`.

FOLDER is the release's `final_qa`: a folder for each question with `qa.json`, an object of `type`,
`question` (a picture, then a text with the options) and `answer` (`type`, and `data` or `answer`).
Its questions with four options are rows: about one plain picture, or about four, which are clips
called A to D (the publisher draws the letters into one wide picture of them). Those whose picture
has boxes drawn into it, and those that are answered by a box, a text or an order are left out and
counted in a note. Pictures lie below `--media-root` as they are named.
Format: Yuan-Hou/Human-MME@15834a5 (benchmark.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commandline import app
from readers.jsons import need, read_json
from recipe import Dataset, Entry, Inputs

from affect_mllm.media.folder import entries
from affect_mllm.types import DataError

DATASET = Dataset(
    name="human_mme",
    title="Human-MME (questions about people in pictures; those with options)",
    licence="none stated",
    access="open, https://github.com/Yuan-Hou/Human-MME",
    source="Yuan-Hou/Human-MME, EVAL_TOOLKIT.md",
    counts={},
)
LETTERS = "ABCD"
_OPTION = re.compile(r"(?:^|\n)\s*\(?([A-D])[.):]\s*")


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each question with options about plain pictures; `group` is the first picture."""
    paths = [path / "qa.json" for path in entries(inputs.folder) if path.is_dir()]
    if not paths:
        raise DataError(str(inputs.folder), "no folders in it", expected="FOLDER/QUESTION/qa.json")
    others: Counter[str] = Counter()
    for path in paths:
        record = read_json(path, dict)
        asked = _parts(path, record)
        answer = need(str(path), record, "answer", dict)
        kinds = str(answer.get("type")), str(asked[0].get("type"))
        if kinds not in (("choice", "image"), ("choice", "multi_image")):
            others[" of ".join(kinds)] += 1
            continue
        names = ("",) if kinds[1] == "image" else tuple(f"_{letter}" for letter in LETTERS)
        named = [need(str(path), asked[0], f"image{name}", str) for name in names]
        shown = [{"image": inputs.media_root / each} for each in named]
        clips = [{"name": x} | each for x, each in zip(LETTERS, shown, strict=False)]
        labels = _labels(path, asked[1], answer) | {"kind": str(record.get("type"))}
        row = {"id": path.parent.relative_to(inputs.folder).as_posix(), "group": named[0]}
        media = {"clips": clips} if len(clips) > 1 else shown[0]
        yield Entry(row | media | {"labels": labels}, path, 1)
    if others:
        told = ", ".join(f"{kind} {count}" for kind, count in sorted(others.items()))
        inputs.notes.append(f"left out, no question with options about plain pictures: {told}")


def _parts(path: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    parts = need(str(path), record, "question", list)
    if len(parts) != 2 or not all(isinstance(each, dict) for each in parts):
        raise DataError(str(path), f"question {parts!r}", expected="a picture and a text")
    return parts


def _labels(path: Path, asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    text = need(str(path), asked, "text", str)
    letters = answer.get("data", answer.get("answer"))
    letter = letters[0] if isinstance(letters, list | str) and letters else letters
    if letter not in [*LETTERS]:
        raise DataError(str(path), f"answer {letters!r}", expected="one of A to D")
    _, *found = _OPTION.split(text)
    options = dict(zip(found[::2], map(str.strip, found[1::2]), strict=True))
    return {
        "question": text,
        "options": options if letter in options else dict.fromkeys(LETTERS, ""),
        "answer": letter,
    }


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
