"""MER2024 → manifest: `python data_recipes/mer2024.py FOLDER`.

FOLDER is MERTools' processed form, which MER-UniBench distributes (`label-6way.npz`, `video/`,
`transcription_merge.csv` with Chinese text), or the challenge's release: `label-disdim.csv` and
`video-labeled/` for `train`, and for the tracks whose labels were published afterwards,
`reference-semi.csv` (`test1`) and `reference-noise.csv` (`test2`) with
`video-unlabeled-with-test2noise/`. Formats: zeroQiaoba/MERTools, MER2024/toolkit/preprocess;
24DavidHuang/Emotion-Qwen, eval_data/MER2024.
"""

from __future__ import annotations

from collections.abc import Iterator

from commandline import app
from readers.archives import corpora
from readers.media import VIDEO, Clips, index
from readers.mer import EMOTIONS, npz_rows, subtitles
from readers.tables import read_csv
from recipe import Dataset, Entry, Inputs

DATASET = Dataset(
    name="mer2024",
    title="MER2024 (Chinese film and TV clips; video, sound, text; six emotions)",
    licence="EULA, academic research only; no redistribution",
    access="EULA to lianzheng2016@ia.ac.cn (https://zeroqiaoba.github.io/MER2024-website)",
    source="Lian et al. 2024, MRAC, doi 10.1145/3689092.3689959",
    counts={"train": 5030, "test1": 1169, "test2": 1170},
    labels={"emotion": EMOTIONS},
)
# split → labels, videos
RELEASE = {
    "train": ("label-disdim.csv", "video-labeled"),
    "test1": ("reference-semi.csv", "video-unlabeled-with-test2noise"),
    "test2": ("reference-noise.csv", "video-unlabeled-with-test2noise"),
}


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each labelled clip."""
    archive = inputs.folder / "label-6way.npz"
    if archive.is_file():
        texts = subtitles(inputs.folder / "transcription_merge.csv", "chinese")
        clips = Clips(inputs)
        yield from npz_rows(archive, corpora(archive), clips, texts, column="chinese")
        return
    for split in inputs.splits(
        {name: inputs.folder / table for name, (table, _) in RELEASE.items()}
    ):
        yield from _release(inputs, split)


def _release(inputs: Inputs, split: str) -> Iterator[Entry]:
    table, videos = RELEASE[split]
    folder = inputs.media_folder(videos)
    found = index(folder, VIDEO)
    for line in read_csv(inputs.folder / table, ["name", "discrete"]):
        name = line.text("name")
        row = {"id": name, "video": found.get(name, folder / f"{name}.mp4"), "language": "zh"}
        labels = {"emotion": line.text("discrete")}
        yield Entry({**row, "split": split, "labels": labels}, line.path, line.number)


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
