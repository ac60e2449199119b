"""RAF-DB (basic emotions) → manifest: `python data_recipes/raf_db.py FOLDER`.

FOLDER is `basic` of the release: `EmoLabel/list_patition_label.txt` (`train_00001.jpg 5`; the
publisher spells it so) and the aligned faces `Image/aligned/train_00001_aligned.jpg`, or, where
they are not there, the photographs `Image/original/`. There is no validation split. Format: as the
public loaders of RAF-DB read it.
"""

from __future__ import annotations

from collections.abc import Iterator

from commandline import app
from readers.media import IMAGE, index
from readers.tables import read_columns
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

WORDS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
DATASET = Dataset(
    name="raf_db",
    title="RAF-DB, basic (photographs of faces; seven emotions)",
    licence="non-commercial research; no redistribution",
    access="request, http://www.whdeng.cn/RAF/model1.html",
    source="Li et al. 2017, CVPR, doi 10.1109/CVPR.2017.277",
    counts={"train": 12271, "test": 3068},
    labels={"emotion": WORDS},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each face."""
    folder = inputs.media_folder("Image/aligned", "Image/original")
    images = index(folder, IMAGE)
    suffix = "_aligned" if folder.name == "aligned" else ""
    path = inputs.folder / "EmoLabel/list_patition_label.txt"
    for line in read_columns(path, ["file", "label"], delimiter=None):
        name = line.text("file").removesuffix(".jpg")
        split = name.split("_")[0]
        number = line.integer("label")
        if split not in DATASET.counts or number not in range(1, 8):
            raise DataError(line.where, f"{name} {number}", expected="train_ or test_, 1 to 7")
        image = images.get(name + suffix, folder / f"{name}{suffix}.jpg")
        row = {"id": name, "image": image, "split": split, "labels": {"emotion": WORDS[number - 1]}}
        yield Entry(row, line.path, line.number)


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
