"""CH-SIMS → manifest: `python data_recipes/ch_sims.py FOLDER`.

FOLDER is the release: `label.csv` and the clips `Raw/video_0001/0001.mp4`. Beside the multimodal
label there is one for each modality alone. The publisher drew the split over clips, so clips of one
video are in several splits.
"""

from __future__ import annotations

from collections.abc import Iterator

from commandline import app
from readers import mmsa
from recipe import Dataset, Entry, Inputs

DATASET = Dataset(
    name="ch_sims",
    title="CH-SIMS (Chinese film and TV clips; video, sound, text; sentiment −1 … 1)",
    licence="research use; the clips are film and TV material",
    access="links of https://github.com/thuiar/MMSA",
    source="Yu et al. 2020, ACL, 2020.acl-main.343",
    counts={"train": 1368, "val": 456, "test": 457},
    labels={"polarity": ("negative", "neutral", "positive")},
)
TABLE = mmsa.Table("label.csv", limit=1.0, language="zh", clip_digits=4)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each clip."""
    yield from mmsa.rows(inputs, TABLE, mmsa.clips(inputs))


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
