"""EmoSet-118K → manifest: `python data_recipes/emoset.py FOLDER`.

FOLDER is the release: `train.json`, `val.json`, `test.json`, lists of `[emotion, id, image,
annotation]` with paths from FOLDER, and where they are unpacked, the annotations. Their attributes
(`scene`, `object`, `facial_expression`, `human_action`, `brightness`, `colorfulness`) are labels.
Format: JingyuanYY/EmoSet (README, EmoSet.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commandline import app
from readers.jsons import read_json
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

EMOTIONS = ("amusement", "awe", "contentment", "excitement", "anger", "disgust", "fear", "sadness")
ATTRIBUTES = (
    *("scene", "object", "facial_expression", "human_action"),
    *("brightness", "colorfulness"),
)
DATASET = Dataset(
    name="emoset",
    title="EmoSet-118K (photographs; eight emotions of viewers, six attributes)",
    licence="research use; terms of the images unclear",
    access="open, links of https://github.com/JingyuanYY/EmoSet",
    source="Yang et al. 2023, ICCV, arXiv 2307.07961",
    counts={"total": 118102},
    labels={"emotion": EMOTIONS},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each image."""
    paths = {split: inputs.folder / f"{split}.json" for split in ("train", "val", "test")}
    for split in inputs.splits(paths):
        path = paths[split]
        for at, item in enumerate(read_json(path, list), start=1):
            if not isinstance(item, list) or [type(each) for each in item] != [str] * 4:
                raise DataError(f"{path}[{at - 1}]", f"{item!r}", expected="four strings")
            emotion, name, image, annotation = item
            labels = {"emotion": emotion, **_attributes(inputs.folder / annotation)}
            row = {"id": name, "image": inputs.media_root / image, "split": split}
            yield Entry({**row, "labels": labels}, path, at)


def _attributes(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = read_json(path, dict)
    return {key: content[key] for key in ATTRIBUTES if content.get(key) not in (None, "", [])}


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
