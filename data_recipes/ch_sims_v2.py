"""CH-SIMS v2 (the supervised part) → manifest: `python data_recipes/ch_sims_v2.py FOLDER`.

FOLDER is `ch-simsv2s` of the release: the clips `Raw/aqgy3_0001/00000.mp4` with `label.csv` (the
final version: 4,402 clips, 2,721 of them for training) or, where that is not there, `meta.csv`
(4,403 and 2,722); thuiar/ch-sims-v2 issues 4 and 11 tell of the clip that was taken out. The
unlabelled part (`ch-simsv2u`) has no labels and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from commandline import Folder, Plan, command
from readers import mmsa
from recipe import Dataset, Entry, Inputs

FINAL = Dataset(
    name="ch_sims_v2",
    title="CH-SIMS v2, supervised (Chinese clips; video, sound, text; sentiment −1 … 1)",
    licence="research use; the clips are film and TV material",
    access="links of https://github.com/thuiar/ch-sims-v2",
    source="Liu et al. 2022, ICMI, arXiv 2209.02604; thuiar/ch-sims-v2 issue 4",
    counts={"train": 2721, "val": 647, "test": 1034},
    labels={"polarity": ("negative", "neutral", "positive")},
)
FIRST = replace(FINAL, counts={"train": 2722, "val": 647, "test": 1034})


def plan(
    folder: Folder,
) -> Plan:
    """Make a manifest of CH-SIMS v2's labelled clips."""
    return Plan(FINAL if (folder / "label.csv").is_file() else FIRST, rows)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each labelled clip."""
    file = "label.csv" if (inputs.folder / "label.csv").is_file() else "meta.csv"
    inputs.notes.append(f"labels read from {file}")
    table = mmsa.Table(file, limit=1.0, language="zh")
    yield from mmsa.rows(inputs, table, mmsa.clips(inputs))


APP = command(plan)

if __name__ == "__main__":
    APP()
