"""EMER → manifest: `python data_recipes/emer.py FOLDER --media-root MER2023 --release 1|2`.

FOLDER holds the annotations of https://github.com/zeroQiaoba/AffectGPT (EMER/): release 1 is
`gt-eng.csv` (`names, emotions, subtitles, reasons`; 100 clips), release 2 is
`final-EMER-reason.csv` (`name, chinese, english`; 332 clips). The clips are MER2023's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import typer
from readers.media import VIDEO, spread
from readers.mer import EMOTIONS
from readers.tables import Line, read_csv
from recipe import Dataset, Entry, Folder, Inputs, MediaRoot, Out, Subset, output, run

_COLUMNS = {1: ["names", "emotions", "subtitles", "reasons"], 2: ["name", "chinese", "english"]}
_TABLES = {1: "gt-eng.csv", 2: "final-EMER-reason.csv"}
APP = typer.Typer(add_completion=False)


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


@APP.command()
def main(
    folder: Folder,
    release: Annotated[int, typer.Option(min=1, max=2, help="1: 100 clips, 2: 332 clips.")] = 2,
    out: Out = None,
    media_root: MediaRoot = None,
    allow_count_mismatch: Subset = False,
) -> None:
    """Make a manifest of EMER: reasons for the emotions of MER2023's clips."""
    inputs = Inputs(folder, media_root or folder)
    target = output(inputs, out, subset=allow_count_mismatch, variant=f"emer-v{release}")
    run(dataset(release), partial(rows, release=release), inputs, target)


def rows(inputs: Inputs, *, release: int) -> Iterator[Entry]:
    """A row for each annotated clip."""
    videos = spread(inputs.media_root, VIDEO)
    for line in read_csv(inputs.folder / _TABLES[release], _COLUMNS[release]):
        name, row = _first(line) if release == 1 else _second(line)
        video = videos.get(name, inputs.media_root / f"{name}.mp4")
        row |= {"id": name, "video": video, "language": "zh", "split": "test"}
        yield Entry(row, line.path, line.number)


def _first(line: Line) -> tuple[str, dict]:
    labels = {"emotion": line.text("emotions"), "description": line.text("reasons")}
    return line.text("names"), {"subtitle": line.optional("subtitles"), "labels": labels}


def _second(line: Line) -> tuple[str, dict]:
    return line.text("name"), {"labels": {"description": line.text("english")}}


if __name__ == "__main__":
    APP()
