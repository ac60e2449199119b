"""MER2023 → manifest: `python data_recipes/mer2023.py FOLDER`.

FOLDER is the challenge's release (`train-label.csv`, `train/`, `test1-label.csv`, `test1/` …) or
MERTools' processed form, which MER-UniBench distributes (`label-6way.npz`, `video/`, `audio/`,
`openface_face/`, `transcription-engchi-polish.csv`). Splits keep the publisher's names: `test1` is
MER-MULTI, `test2` MER-NOISE, `test3` the labelled part of MER-SEMI, which has no valence.
Formats: zeroQiaoba/MERTools@89120b7, MERBench/toolkit/preprocess/mer2023.py.
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
    name="mer2023",
    title="MER2023 (Chinese film and TV clips; video, sound, text; six emotions, valence)",
    licence="EULA, academic research only; no redistribution",
    access="EULA on https://huggingface.co/datasets/MERChallenge/MER2023",
    source="Lian et al. 2023, ACM MM, doi 10.1145/3581783.3612836",
    counts={"train": 3373, "test1": 411, "test2": 412, "test3": 834},
    labels={"emotion": EMOTIONS},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each labelled clip; `valence_published` is as published, which states no range."""
    archive = inputs.folder / "label-6way.npz"
    if archive.is_file():
        texts = subtitles(inputs.folder / "transcription-engchi-polish.csv", "english")
        clips = Clips(inputs)
        yield from npz_rows(archive, corpora(archive), clips, texts)
        return
    tables = {split: inputs.folder / f"{split}-label.csv" for split in DATASET.counts}
    for split in inputs.splits(tables):
        yield from _release(inputs, split)


def _release(inputs: Inputs, split: str) -> Iterator[Entry]:
    folder = inputs.media_folder(split)
    videos = index(folder, VIDEO)
    for line in read_csv(inputs.folder / f"{split}-label.csv", ["name", "discrete"]):
        name = line.text("name")
        labels: dict[str, object] = {"emotion": line.text("discrete")}
        if line.optional("valence"):
            labels["valence_published"] = line.number_of("valence")
        video = videos.get(name, folder / f"{name}.mp4")
        row = {"id": name, "video": video, "language": "zh", "split": split, "labels": labels}
        yield Entry(row, line.path, line.number)


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
