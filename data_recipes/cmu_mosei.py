"""CMU-MOSEI → manifest: `python data_recipes/cmu_mosei.py FOLDER`.

FOLDER holds MMSA's `label.csv` (column `label`, −3 … 3; the SDK's `.csd` files are not read) and
either MMSA's clips `Raw/VIDEO/CLIP.mp4`, or what CMU distributes: the whole videos
`Videos/Full/Combined/VIDEO.mp4` with `Transcript/Segmented/Combined/VIDEO.txt`
(`VIDEO___CLIP___START___END___TEXT`), whose segments are cut by time.
Formats: thuiar/MMSA; MERTools@89120b7, MERBench/toolkit/preprocess/cmumosei.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commandline import app
from readers import mmsa
from readers.media import need_folder
from readers.tables import lines_of
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

DATASET = Dataset(
    name="cmu_mosei",
    title="CMU-MOSEI (English monologues; video, sound, text; sentiment −3 … 3)",
    licence="research use, as the licence of the CMU Multimodal SDK says",
    access="links of https://github.com/thuiar/MMSA and the CMU Multimodal SDK",
    source="Zadeh et al. 2018, ACL, P18-1208; split of the CMU Multimodal SDK",
    counts={"train": 16326, "val": 1871, "test": 4659},
    labels={"polarity": ("negative", "neutral", "positive")},
)
SEGMENTS = "Transcript/Segmented/Combined"
TABLE = mmsa.Table("label.csv", limit=3.0, language="en")


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each segment."""
    cut = inputs.labels_only or (inputs.media_root / "Raw").is_dir()
    yield from mmsa.rows(inputs, TABLE, mmsa.clips(inputs) if cut else whole_videos(inputs))


def whole_videos(inputs: Inputs) -> mmsa.Media:
    """Media of segments that are parts of whole videos: the video, and from when to when."""
    videos = inputs.media_folder("Videos/Full/Combined")
    texts = inputs.media_root / SEGMENTS  # CMU packs it with the videos
    texts = texts if texts.is_dir() else need_folder(inputs.folder, SEGMENTS)
    known: dict[str, dict[str, tuple[float, float]]] = {}

    def media(video: str, clip: str) -> dict[str, Any]:
        if video not in known:
            known[video] = segments(texts / f"{video}.txt")
        if clip not in known[video]:
            raise DataError(str(texts / f"{video}.txt"), f"no segment {clip}")
        start_s, end_s = known[video][clip]
        return {"video": videos / f"{video}.mp4", "start_s": start_s, "end_s": end_s}

    return media


def segments(path: Path) -> dict[str, tuple[float, float]]:
    """Clip → (start, end) in seconds of a segmented transcript; DataError for any other line."""
    found = {}
    for number, text in lines_of(path):
        cells = text.split("___", 4)
        try:
            _, clip, start, end, _ = cells
            found[clip] = (float(start), float(end))
        except ValueError as error:
            raise DataError(
                f"{path}:{number}",
                f"the line {text[:60]!r}",
                expected="VIDEO___CLIP___START___END___TEXT",
            ) from error
    return found


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
