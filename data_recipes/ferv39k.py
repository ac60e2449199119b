"""FERV39k → manifest: `python data_recipes/ferv39k.py FOLDER`.

FOLDER is the release: `4_setups/All_scenes/train_All.csv` and `test_All.csv` (`Scene/Emotion/0010
Emotion`, no header) and the face crops of each clip in `2_ClipsforFaceCrop/Scene/Emotion/0010/`.
There is no validation split. Format: as public loaders of the release read it.
"""

from __future__ import annotations

from collections.abc import Iterator

from commandline import app
from readers.media import need_folder
from readers.tables import read_columns
from recipe import Dataset, Entry, Inputs

DATASET = Dataset(
    name="ferv39k",
    title="FERV39k (clips of 22 scenes; faces; seven emotions)",
    licence="non-commercial research; no redistribution",
    access="password by e-mail from a university, https://github.com/wangyanckxx/FERV39k",
    source="Wang et al. 2022, CVPR, arXiv 2203.09463",
    counts={"train": 31088, "test": 7847},
    labels={"emotion": ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each clip; its scene is kept as a label."""
    tables = need_folder(inputs.folder, "4_setups/All_scenes")
    crops = inputs.media_folder("2_ClipsforFaceCrop")
    paths = {split: tables / f"{split}_All.csv" for split in DATASET.counts}
    for split in inputs.splits(paths):
        path = paths[split]
        for line in read_columns(path, ["clip", "label"], delimiter=None):
            clip = line.text("clip")
            row = {"id": clip, "faces": crops / clip, "split": split}
            labels = {"emotion": line.text("label").lower(), "scene": clip.split("/")[0]}
            yield Entry({**row, "labels": labels}, line.path, line.number)


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
