"""EMER → manifest: `python data_recipes/emer.py FOLDER --media-root MER2023 --release 1|2`.

FOLDER is `EMER` of https://github.com/zeroQiaoba/AffectGPT, or one release of it: release 1 is
`dataset-v1/gt-eng.csv` (`names, emotions, subtitles, reasons`; 100 clips), release 2 is
`dataset-v2/final-EMER-reason.csv` (`name, chinese, english`; 332 clips). The clips are MER2023's:
all of them are in its `train`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from commandline import Folder, Plan, command
from readers.media import VIDEO, spread
from readers.mer import EMOTIONS, said
from readers.tables import Line, read_csv
from recipe import Dataset, Entry, Inputs

_COLUMNS = {1: ["names", "emotions", "subtitles", "reasons"], 2: ["name", "chinese", "english"]}
# release → table; the repository keeps each release in a folder of its own
_TABLES = {1: "gt-eng.csv", 2: "final-EMER-reason.csv"}


def dataset(release: int) -> Dataset:
    """The terms and counts of a release."""
    return Dataset(
        name=f"emer_v{release}",
        title=f"EMER, release {release} (MER2023's clips; English reasons for the emotion)",
        licence="annotations Apache-2.0 for non-commercial use; clips under MER2023's EULA",
        access="annotations open, https://github.com/zeroQiaoba/AffectGPT; clips: MER2023",
        source="Lian et al. 2023, arXiv 2306.15401",
        counts={"test": {1: 100, 2: 332}[release]},
        labels={"emotion": EMOTIONS},
    )


def plan(
    folder: Folder,
    release: Annotated[int, typer.Option(min=1, max=2, help="1: 100 clips, 2: 332 clips.")] = 2,
) -> Plan:
    """Make a manifest of EMER: reasons for the emotions of MER2023's clips."""
    return Plan(dataset(release), partial(rows, release=release), f"emer-v{release}")


def rows(inputs: Inputs, *, release: int) -> Iterator[Entry]:
    """A row for each annotated clip."""
    videos = spread(inputs.media_root, VIDEO)
    for line in read_csv(table(inputs.folder, release), _COLUMNS[release]):
        name, row = _first(line) if release == 1 else _second(line)
        video = videos.get(name, inputs.media_root / f"{name}.mp4")
        row |= {"id": name, "video": video, "split": "test"}
        yield Entry(row, line.path, line.number)


def table(folder: Path, release: int) -> Path:
    """A release's table: in its folder `dataset-vN`, as published, or right in `folder`."""
    published = folder / f"dataset-v{release}" / _TABLES[release]
    return published if published.is_file() else folder / _TABLES[release]


def _first(line: Line) -> tuple[str, dict]:
    labels = {"emotion": line.text("emotions"), "description": line.text("reasons")}
    return line.text("names"), {**said(line.optional("subtitles"), "en"), "labels": labels}


def _second(line: Line) -> tuple[str, dict]:
    return line.text("name"), {"language": "zh", "labels": {"description": line.text("english")}}


APP = command(plan)

if __name__ == "__main__":
    APP()
