"""VCE (Video Cognitive Empathy) → manifest: `python data_recipes/vce.py FOLDER`.

FOLDER is `vce_dataset`: `train_labels.json`, `test_labels.json` ({id: {emotions: {name: 0 … 1},
topK, file}}) and `videos/00000.mp4`. `emotion` is the most intense one, `emotions` the publisher's
three, `distribution` all 27 means of the viewers' ratings. Format: hendrycks/emodiversity (README).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from commandline import app
from readers.jsons import need, read_json
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

EMOTIONS = (
    "admiration",
    "adoration",
    "aesthetic appreciation",
    "amusement",
    "anger",
    "anxiety",
    "awe (or wonder)",
    "awkwardness",
    "boredom",
    "calmness",
    "confusion",
    "craving",
    "disgust",
    "empathic pain",
    "entrancement",
    "excitement",
    "fear",
    "horror",
    "interest",
    "joy",
    "nostalgia",
    "relief",
    "romance",
    "sadness",
    "satisfaction",
    "sexual desire",
    "surprise",
)
DATASET = Dataset(
    name="vce",
    title="VCE (short videos; what 27 emotions viewers feel, and how intensely)",
    licence="repository MIT; the videos are their makers'",
    access="open, links of https://github.com/hendrycks/emodiversity",
    source="Mazeika et al. 2022, NeurIPS, arXiv 2210.10039",
    counts={"train": 50000, "test": 11046},
    labels={"emotion": EMOTIONS, "emotions": EMOTIONS},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each video."""
    paths = {split: inputs.folder / f"{split}_labels.json" for split in DATASET.counts}
    for split in inputs.splits(paths):
        path = paths[split]
        for at, (name, record) in enumerate(read_json(path, dict).items(), start=1):
            where = f"{path}:{name}"
            if not isinstance(record, dict):
                raise DataError(where, f"a {type(record).__name__}", expected="an object")
            video = inputs.media_root / need(where, record, "file", str)
            row = {"id": name, "video": video, "split": split, "labels": _labels(where, record)}
            yield Entry(row, path, at)


def _labels(where: str, record: dict[str, Any]) -> dict[str, Any]:
    """Lower-case names; DataError unless there are 27 intensities of 0 to 1 and a top list."""
    intensities = need(where, record, "emotions", dict)
    rated = {name.lower(): need(where, intensities, name, (int, float)) for name in intensities}
    if sorted(rated) != sorted(EMOTIONS) or not all(0 <= each <= 1 for each in rated.values()):
        raise DataError(where, f"{len(rated)} intensities", expected="27, each from 0 to 1")
    top = [str(name).lower() for name in need(where, record, "topK", list)]
    if not top:
        raise DataError(where, "an empty topK")
    return {"emotion": top[0], "emotions": top, "distribution": rated}


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
