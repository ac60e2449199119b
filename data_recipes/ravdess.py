"""RAVDESS → manifest: `python data_recipes/ravdess.py FOLDER --channel speech|song`.

FOLDER holds the unpacked `Actor_01` … `Actor_24` with files named by seven numbers,
`MODALITY-CHANNEL-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR`. Of a take that is there as video
with sound (01) and as sound alone (03) the first is used; video without sound (02) is passed over.
There is no published split: make one by `speaker`. Format: zenodo.org/record/1188976.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from commandline import Folder, Plan, command
from recipe import Dataset, Entry, Inputs

from affect_mllm.media.folder import is_litter
from affect_mllm.types import DataError

Channel = Literal["speech", "song"]
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
SPOKEN = ("Kids are talking by the door", "Dogs are sitting by the door")
TAKE = re.compile(
    r"(?P<modality>0[1-3])-(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])-"
    r"(?P<statement>0[12])-(?P<repetition>0[12])-(?P<actor>[01]\d|2[0-4])\.(?P<ending>mp4|wav)"
)


def dataset(channel: Channel) -> Dataset:
    """The terms and counts: 60 spoken takes of 24 actors, 44 sung ones of 23."""
    return Dataset(
        name=f"ravdess_{channel}",
        title=f"RAVDESS, {channel} (acted; video, sound; eight emotions, two intensities)",
        licence="CC BY-NC-SA 4.0",
        access="open, https://zenodo.org/record/1188976",
        source="Livingstone and Russo 2018, doi 10.1371/journal.pone.0196391",
        counts={"total": {"speech": 1440, "song": 1012}[channel]},
        labels={"emotion": EMOTIONS},
    )


def plan(
    folder: Folder,
    channel: Annotated[Channel, typer.Option(help="Spoken or sung takes.")] = "speech",
) -> Plan:
    """Make a manifest of RAVDESS's spoken or sung takes."""
    return Plan(dataset(channel), partial(rows, channel=channel), channel)


def rows(inputs: Inputs, *, channel: Channel) -> Iterator[Entry]:
    """A row for each take."""
    takes: dict[str, tuple[Path, dict[str, str]]] = {}
    for path in sorted(inputs.media_root.rglob("*-*-*-*-*-*-*.*"), key=lambda each: each.name):
        found = TAKE.fullmatch(path.name)
        if is_litter(path.name):
            continue
        if found is None:
            raise DataError(str(path), "a name of another form", expected="as 01-01-06-02-01-01-12")
        if found["modality"] != "02" and found["channel"] == ("01", "02")[channel == "song"]:
            # Sorted: video with sound (01) comes before sound alone (03).
            takes.setdefault(path.stem[3:], (path, found.groupdict()))
    if not takes:
        raise DataError(str(inputs.media_root), f"no {channel} files in it", expected="Actor_01/ …")
    for at, (name, (path, part)) in enumerate(sorted(takes.items()), start=1):
        yield Entry(_row(name, path, part), inputs.media_root, at)


def _row(name: str, path: Path, part: dict[str, str]) -> dict[str, Any]:
    return {
        "id": name,
        "video" if part["ending"] == "mp4" else "audio": path,
        "subtitle": SPOKEN[int(part["statement"]) - 1],
        "language": "en",
        "speaker": part["actor"],
        "labels": {
            "emotion": EMOTIONS[int(part["emotion"]) - 1],
            "intensity_level": ("normal", "strong")[int(part["intensity"]) - 1],
        },
    }


APP = command(plan)

if __name__ == "__main__":
    APP()
