"""MVEI → manifest: `python data_recipes/mvei.py FOLDER`.

FOLDER holds `MVEI_metadata.json` (a list of `{"image_id", "ov_emotion", "statement_list":
[{"statement", "label", "class", "subclass"}]}`) and the unpacked `images/`. One row a statement:
`is_correct` says whether it fits the image. The images are EmoSet's. Format: wdqqdw/MVEI (README).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from commandline import app
from readers.jsons import need, read_json
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

CLASSES = (
    "sentiment polarity",
    "emotion interpretation",
    "scene context",
    "perception subjectivity",
)
DATASET = Dataset(
    name="mvei",
    title="MVEI (images with statements about their emotion, right or wrong)",
    licence="none stated; images under EmoSet's terms",
    access="open, https://huggingface.co/datasets/wudq/MVEI",
    source="Wu et al. 2025, arXiv 2509.21950",
    counts={"test": 3086},
    labels={"statement_class": CLASSES},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each statement; `group` is the image."""
    path = inputs.folder / "MVEI_metadata.json"
    for at, record in enumerate(read_json(path, list)):
        where = f"{path}[{at}]"
        if not isinstance(record, dict):
            raise DataError(where, f"a {type(record).__name__}", expected="an object")
        name = need(where, record, "image_id", str)
        emotions = [str(each).lower() for each in need(where, record, "ov_emotion", list)]
        for number, item in enumerate(need(where, record, "statement_list", list), start=1):
            row = {"id": f"{name}#{number}", "image": inputs.media_root / "images" / name}
            labels = {"emotions": emotions, **_statement(f"{where}, statement {number}", item)}
            yield Entry({**row, "group": name, "split": "test", "labels": labels}, path, at + 1)


def _statement(where: str, item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise DataError(where, f"a {type(item).__name__}", expected="an object")
    verdict = need(where, item, "label", str).lower()
    if verdict not in ("correct", "incorrect"):
        raise DataError(where, f"label {verdict!r}", expected="correct or incorrect")
    return {
        "statement": need(where, item, "statement", str),
        "statement_class": need(where, item, "class", str),
        "is_correct": verdict == "correct",
    }


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
