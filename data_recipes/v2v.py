"""V2V (Video to Valence) → manifest: `python data_recipes/v2v.py FOLDER`.

FOLDER is `v2v_dataset`: `train_labels.json`, `test_labels.json` ({"comparisons": [[ID, ID], …]},
the second video of a pair preferred) and `videos/ID.mp4`. A row shows both videos as the clips
`first` and `second`; which of them comes first is drawn by their ids, since in the files the
answer would always be the second. Format: hendrycks/emodiversity (README,
examples/dataloader_v2v.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from commandline import app
from readers.jsons import need, read_json
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

PLACES = ("first", "second")
DATASET = Dataset(
    name="v2v",
    title="V2V (pairs of short videos; the one that viewers find more pleasant)",
    licence="repository MIT; the videos are their makers'",
    access="open, links of https://github.com/hendrycks/emodiversity",
    source="Mazeika et al. 2022, NeurIPS, arXiv 2210.10039; README of the repository",
    counts={"train": 11038, "test": 3189},
    labels={"preference": PLACES},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each pair."""
    paths = {split: inputs.folder / f"{split}_labels.json" for split in ("train", "test")}
    for split in inputs.splits(paths):
        path = paths[split]
        pairs = need(str(path), read_json(path, dict), "comparisons", list)
        for at, pair in enumerate(pairs, start=1):
            yield Entry(_row(inputs, split, at, _ids(f"{path}[{at - 1}]", pair)), path, at)


def _row(inputs: Inputs, split: str, at: int, pair: list[str]) -> dict[str, Any]:
    shown = pair[::-1] if hashlib.sha256(":".join(pair).encode()).digest()[0] & 1 else pair
    videos = [inputs.media_root / "videos" / f"{name}.mp4" for name in shown]
    clips = [{"name": n, "video": v} for n, v in zip(PLACES, videos, strict=True)]
    labels = {"preference": PLACES[shown.index(pair[1])]}
    return {"id": f"{split}/{at}", "split": split, "clips": clips, "labels": labels}


def _ids(where: str, pair: Any) -> list[str]:
    names = pair if isinstance(pair, list) else []
    if len(names) != 2 or not all(isinstance(each, str) for each in names) or len({*names}) < 2:
        raise DataError(where, f"{pair!r}", expected="two different video ids")
    return names


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
