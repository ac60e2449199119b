"""DFEW → manifest of one fold: `python data_recipes/dfew.py FOLDER --fold 1`.

FOLDER is the release (`EmoLabel_DataSplit/train(single-labeled)/set_1.csv` …, `Clip/original/`) or
its authors' training layout (`label/single_trainset_1.csv`, `data/`), each with tables
`video_name, label`. Clip names are numbers of five digits, which spreadsheets and pandas strip of
their leading zeros: here they are text, and get them back. Taken are the original clips as `video`,
and as `faces` the aligned crops of `Clip/clip_224x224/NAME/` (or `data/NAME/`), where there are.
There is no validation split: choose on a part of `train`. Formats: the release's README,
jiangxingxun/DFEW (README, DFEW_Dataset.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from commandline import Folder, Plan, command
from readers.media import VIDEO, spread
from readers.tables import Line, read_csv
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

WORDS = {1: "happy", 2: "sad", 3: "neutral", 4: "angry", 5: "surprise", 6: "disgust", 7: "fear"}
# fold → rows for training and for testing, of the release's README
FOLDS = {1: (9356, 2341), 2: (9356, 2341), 3: (9357, 2340), 4: (9358, 2339), 5: (9361, 2336)}
TABLES = (
    "EmoLabel_DataSplit/{split}(single-labeled)/set_{fold}.csv",
    "EmoLabel_DataSplit/{split}(single_labeled)/set_{fold}.csv",
    "label/single_{split}set_{fold}.csv",
)


def dataset(fold: int) -> Dataset:
    """The terms and counts of a fold."""
    train, test = FOLDS[fold]
    return Dataset(
        name="dfew",
        title=f"DFEW, fold {fold} of 5 (film clips; video, faces; seven emotions)",
        licence="non-commercial research and education; no redistribution",
        access="password by e-mail, https://dfew-dataset.github.io/download.html",
        source="Jiang et al. 2020, ACM MM, arXiv 2008.05924; README of the release",
        counts={"train": train, "test": test},
        labels={"emotion": tuple(WORDS.values())},
    )


def plan(
    folder: Folder,
    fold: Annotated[int, typer.Option(min=1, max=5, help="Of the five folds.")] = 1,
) -> Plan:
    """Make a manifest of one of DFEW's five folds."""
    made = partial(rows, fold=fold)
    return Plan(dataset(fold), made, f"fold{fold}")


def rows(inputs: Inputs, *, fold: int) -> Iterator[Entry]:
    """A row for each single-labelled clip of the fold."""
    media = clips(inputs)
    tables = {split: table(inputs.folder, split, fold) for split in ("train", "test")}
    for split in inputs.splits(tables):
        for line in read_csv(tables[split], ["video_name", "label"]):
            number = line.integer("label")
            if number not in WORDS:
                raise DataError(line.where, f"label {number}", expected="1 to 7")
            row = {"id": name_of(line), **media(name_of(line)), "split": split}
            labels = {"emotion": WORDS[number], "fold": fold}
            yield Entry({**row, "labels": labels}, line.path, line.number)


def name_of(line: Line) -> str:
    """`video_name` as five digits: `1`, `00001` and `00001.mp4` are the same clip."""
    name = line.text("video_name").removesuffix(".mp4")
    if not (name.isascii() and name.isdigit() and len(name) <= 5):
        raise DataError(line.where, f"video_name {name!r}", expected="a number of up to 5 digits")
    return name.zfill(5)


def table(folder: Path, split: str, fold: int) -> Path:
    """The table of a split in whichever layout there is; where none is, as the release has it."""
    paths = [folder / each.format(split=split, fold=fold) for each in TABLES]
    return next((path for path in paths if path.is_file()), paths[0])


def clips(inputs: Inputs) -> Callable[[str], dict[str, Path]]:
    """Clip name → its media: the original clip, the aligned face crops, or both."""
    folder = inputs.media_root
    original = folder / "Clip/original"
    found = spread(original, VIDEO) if original.is_dir() else {}
    videos = {name.zfill(5): path for name, path in found.items()}
    crops = [each for each in (folder / "Clip/clip_224x224", folder / "data") if each.is_dir()]
    if not (videos or crops or inputs.subset or inputs.labels_only):
        raise DataError(
            str(folder),
            "no clips",
            expected="Clip/original/, Clip/clip_224x224/ or data/, unpacked",
        )

    def media(name: str) -> dict[str, Path]:
        folder = next((each / name for each in crops if (each / name).is_dir()), None)
        faces = {"faces": folder} if folder else {}
        if videos or not faces:
            return {"video": videos.get(name, original / f"{name}.mp4"), **faces}
        return faces

    return media


APP = command(plan)

if __name__ == "__main__":
    APP()
