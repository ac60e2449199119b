"""CMU-MOSI → manifest: `python data_recipes/cmu_mosi.py FOLDER`.

FOLDER is the form in which MMSA distributes it: `label.csv` and the clips `Raw/VIDEO/CLIP.mp4`. The
labels are read from `label.csv` (column `label`, −3 … 3), not from the SDK's `.csd` files.
"""

from __future__ import annotations

from collections.abc import Iterator

from commandline import app
from readers import mmsa
from recipe import Dataset, Entry, Inputs

DATASET = Dataset(
    name="cmu_mosi",
    title="CMU-MOSI (English video reviews; video, sound, text; sentiment −3 … 3)",
    licence="research use, as the licence of the CMU Multimodal SDK says",
    access="links of https://github.com/thuiar/MMSA and the CMU Multimodal SDK",
    source="Zadeh et al. 2016, arXiv 1606.06259; split of the CMU Multimodal SDK",
    counts={"train": 1284, "val": 229, "test": 686},
    labels={"polarity": ("negative", "neutral", "positive")},
)
TABLE = mmsa.Table("label.csv", limit=3.0, language="en")


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each segment."""
    yield from mmsa.rows(inputs, TABLE, mmsa.clips(inputs))


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
