"""BAH (behavioural ambivalence and hesitancy) → manifest: `python data_recipes/bah.py FOLDER`.

FOLDER has `train.txt`, `val.txt` and `test.txt` of the video-level split, or the repository's
`dataset-splits/video-level/BAH_DB/split-0/` with them; each line is `PATH,LABEL,TRANSCRIPT`, cut
at its first two commas, and a path `Videos/PERSON/…_Video.mp4` starts from FOLDER. No person is
in two splits. Format: sbelharbi/bah-dataset@5c8471f.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from commandline import app
from readers.tables import read_columns
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

FOLDERS = ("dataset-splits/video-level/BAH_DB/split-0", "folds/BAH_DB/split-0", ".")
DATASET = Dataset(
    name="bah",
    title="BAH (answers to questions on video; ambivalence and hesitancy; video, sound, text)",
    licence="EULA, academic research by faculty only (code BSD-3)",
    access="EULA, https://github.com/sbelharbi/bah-dataset",
    source="Gonzalez-Gonzalez et al. 2025, arXiv 2505.19328; sbelharbi/bah-dataset@5c8471f",
    counts={"train": 616, "val": 110, "test": 392},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each answer."""
    found = [inputs.folder / name for name in FOLDERS if (inputs.folder / name).is_dir()]
    folder = next((each for each in found if any(each.glob("t*.txt"))), found[-1])
    paths = {split: folder / f"{split}.txt" for split in ("train", "val", "test")}
    for split in inputs.splits(paths):
        yield from _split(inputs, split, paths[split])


def _split(inputs: Inputs, split: str, path: Path) -> Iterator[Entry]:
    for line in read_columns(path, ["path", "label", "transcript"], delimiter=","):
        video, label = PurePosixPath(line.text("path")), line.text("label")
        if label not in ("0", "1") or len(video.parts) < 3:
            raise DataError(line.where, f"{video},{label}", expected="Videos/PERSON/….mp4,0 or 1")
        row = {
            "id": video.stem,
            "video": inputs.media_root / video,
            "subtitle": line.optional("transcript"),
            "language": "en",
            "speaker": video.parts[1],
            "group": video.parts[1],
            "split": split,
            "labels": {"is_ambivalent": label == "1"},
        }
        yield Entry(row, line.path, line.number)


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
