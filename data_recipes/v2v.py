"""V2V (Video to Valence) → manifest: `python data_recipes/v2v.py FOLDER`.

FOLDER is `v2v_dataset`: `train_labels.json`, `test_labels.json` ({"comparisons": [[ID, ID], …]},
the second video of a pair preferred), `listwise_labels.json` (lists of up to four, the most
preferred last) and `videos/ID.mp4`. A row shows its videos as the clips `first`, `second`, …; in
which order is drawn by their ids, since in the files the answer would always be the last. Format:
hendrycks/emodiversity (README, examples/dataloader_v2v.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from commandline import app
from readers.jsons import need, read_json
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

PLACES = ("first", "second", "third", "fourth")
LISTS = "listwise"
DATASET = Dataset(
    name="v2v",
    title="V2V (pairs and lists of short videos; the one that viewers find more pleasant)",
    licence="repository MIT; the videos are their makers'",
    access="open, links of https://github.com/hendrycks/emodiversity",
    source="Mazeika et al. 2022, NeurIPS, arXiv 2210.10039; README of the repository",
    counts={"train": 11038, "test": 3189, LISTS: 1758},
    labels={"preference": PLACES[:2], "most_pleasant": PLACES, "ranking": PLACES},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each pair and list."""
    paths = {split: inputs.folder / f"{split}_labels.json" for split in DATASET.counts}
    for split in inputs.splits(paths):
        path = paths[split]
        pairs = need(str(path), read_json(path, dict), "comparisons", list)
        for at, pair in enumerate(pairs, start=1):
            names = _ids(f"{path}[{at - 1}]", pair, most=len(PLACES) if split == LISTS else 2)
            yield Entry(_row(inputs, split, at, names), path, at)


def _row(inputs: Inputs, split: str, at: int, names: list[str]) -> dict[str, Any]:
    """`names`: the videos, the most preferred last."""
    drawn = hashlib.sha256(":".join(names).encode()).digest()
    if split == LISTS:
        shown = sorted(names, key=lambda name: hashlib.sha256(drawn + name.encode()).digest())
    else:
        shown = names[::-1] if drawn[0] & 1 else names
    videos = [inputs.media_root / "videos" / f"{name}.mp4" for name in shown]
    clips = [{"name": n, "video": v} for n, v in zip(PLACES, videos, strict=False)]
    order = [PLACES[shown.index(name)] for name in reversed(names)]
    labels: dict[str, Any] = {"preference": order[0]}
    if split == LISTS:
        labels = {"most_pleasant": order[0], "ranking": order}
    return {"id": f"{split}/{at}", "split": split, "clips": clips, "labels": labels}


def _ids(where: str, given: Any, *, most: int) -> list[str]:
    names = given if isinstance(given, list) else []
    fits = 2 <= len(names) <= most and all(isinstance(each, str) for each in names)
    if not fits or len({*names}) < len(names):
        expected = "two" if most == 2 else f"two to {most}"
        raise DataError(where, f"{given!r}", expected=f"{expected} different video ids")
    return names


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
