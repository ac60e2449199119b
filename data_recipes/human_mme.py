"""Human-MME → manifest: `python data_recipes/human_mme.py FOLDER`.

FOLDER is the release's `final_qa`: a folder for each question with `qa.json`, an object of `type`,
`question` (a picture, then a text with the options) and `answer` (`type`, and `data` or `answer`).
Its questions with four options are rows: about one picture, or about four, which are clips called
A to D (the publisher draws the letters into one wide picture of them). Boxes that a question names
by their colours are drawn into a copy of the picture, in `boxed/`, as the publisher draws them.
Questions that are answered by a box, a text or an order are left out and counted in a note.
Pictures lie below `--media-root` as they are named.
Format: Yuan-Hou/Human-MME@15834a5 (benchmark.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commandline import app
from PIL import Image, ImageDraw
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
LETTERS, BOXED = "ABCD", "boxed"
COLOURS = {"red": "#ff0000", "green": "#00ff00", "blue": "#0000ff", "yellow": "#ffff00",
           "white": "#ffffff"}  # fmt: skip
_OPTION = re.compile(r"(?:^|\n)\s*\(?([A-D])[.):]\s*")


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each question with options; `group` is the first picture."""
    paths = [path / "qa.json" for path in entries(inputs.folder) if path.is_dir()]
    if not paths:
        raise DataError(str(inputs.folder), "no folders in it", expected="FOLDER/QUESTION/qa.json")
    others: Counter[str] = Counter()
    for path in paths:
        record = read_json(path, dict)
        asked = _parts(path, record)
        answer = need(str(path), record, "answer", dict)
        kinds = str(answer.get("type")), str(asked[0].get("type"))
        if kinds[0] != "choice" or kinds[1] not in ("image", "image_bbox", "multi_image"):
            others[" of ".join(kinds)] += 1
            continue
        id = path.parent.relative_to(inputs.folder).as_posix()
        names = [f"_{x}" for x in LETTERS] if kinds[1] == "multi_image" else [""]
        named = [need(str(path), asked[0], f"image{name}", str) for name in names]
        files = [inputs.media_root / each for each in named]
        if kinds[1] == "image_bbox":
            files = [_boxed(inputs, path, asked[0], files[0], f"{BOXED}/{id}.png")]
        shown = [{"image": each} for each in files]
        clips = [{"name": x} | each for x, each in zip(LETTERS, shown, strict=False)]
        labels = _labels(path, asked[1], answer) | {"kind": str(record.get("type"))}
        row = {"id": id, "group": named[0]}
        media = {"clips": clips} if len(clips) > 1 else shown[0]
        yield Entry(row | media | {"labels": labels}, path, 1)
    if others:
        told = ", ".join(f"{kind} {count}" for kind, count in sorted(others.items()))
        inputs.notes.append(f"left out, no questions with options: {told}")


def _boxed(inputs: Inputs, path: Path, asked: dict[str, Any], picture: Path, name: str) -> Path:
    """The copy of a picture with the question's boxes; itself where it is no file to be read."""
    boxes = need(str(path), asked, "bboxes", list)
    try:
        drawn = [(COLOURS[colour], [float(x) for x in box]) for colour, box in boxes]
        assert all(len(box) == 4 for _, box in drawn)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        expected = f"[colour, [x1, y1, x2, y2]], of {', '.join(COLOURS)}"
        raise DataError(str(path), f"bboxes {boxes!r}", expected=expected) from error
    out = inputs.media_root / name
    if inputs.labels_only or out.is_file():
        return picture if inputs.labels_only else out
    try:
        made = _draw(picture, drawn)
    except OSError:
        return picture  # whose absence or fault is named like any other's
    out.parent.mkdir(parents=True, exist_ok=True)
    made.save(out)
    return out


def _draw(picture: Path, boxes: list[tuple[str, list[float]]]) -> Image.Image:
    """At most 1,080 by 1,920 pixels, with lines a pixel wide; boxes are shares of the sides."""
    with Image.open(picture) as file:
        image = file.convert("RGB")
    scale = min(1080 / min(image.size), 1920 / max(image.size), 1.0)
    width, height = (int(side * scale) for side in image.size)
    image = image.resize((width, height))
    for colour, (x1, y1, x2, y2) in boxes:
        place = (x1 * width, y1 * height, x2 * width, y2 * height)
        ImageDraw.Draw(image).rectangle(place, outline=colour)
    return image


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
