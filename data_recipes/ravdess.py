"""RAVDESS → manifest: `python data_recipes/ravdess.py FOLDER --channel speech|song [--fold 1]`.

FOLDER holds the unpacked `Actor_01` … `Actor_24` with files named by seven numbers,
`MODALITY-CHANNEL-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR`. Of a take that is there as video
with sound (01) and as sound alone (03) the first is used; video without sound (02) is passed
over. The publisher has no split: `--fold` makes one of HiCMAE's six of speech, each of which
tests on four consecutive actors; else make one by `speaker`. Format: zenodo.org/record/1188976;
folds: sunlicai/HiCMAE@cdd28d4.
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
from affect_mllm.types import ConfigError, DataError

Channel = Literal["speech", "song"]
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
SPOKEN = ("Kids are talking by the door", "Dogs are sitting by the door")
TAKE = re.compile(
    r"(?P<modality>0[1-3])-(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])-"
    r"(?P<statement>0[12])-(?P<repetition>0[12])-(?P<actor>[01]\d|2[0-4])\.(?P<ending>mp4|wav)"
)


def dataset(channel: Channel, fold: int | None = None) -> Dataset:
    """The terms and counts: 60 spoken takes of 24 actors, 44 sung ones of 23."""
    total = {"speech": 1440, "song": 1012}[channel]
    return Dataset(
        name=f"ravdess_{channel}",
        title=f"RAVDESS, {channel} (acted; video, sound; eight emotions, two intensities)",
        licence="CC BY-NC-SA 4.0",
        access="open, https://zenodo.org/record/1188976",
        source="Livingstone and Russo 2018, doi 10.1371/journal.pone.0196391",
        counts={"total": total} if fold is None else {"train": total - 240, "test": 240},
        labels={"emotion": EMOTIONS},
    )


def plan(
    folder: Folder,
    channel: Annotated[Channel, typer.Option(help="Spoken or sung takes.")] = "speech",
    fold: Annotated[int | None, typer.Option(min=1, max=6, help="Of HiCMAE's six.")] = None,
) -> Plan:
    """Make a manifest of RAVDESS's spoken or sung takes."""
    if fold is not None and channel == "song":
        raise ConfigError(
            "--fold", "folds of song", expected="--channel speech: HiCMAE's are of it"
        )
    name = channel if fold is None else f"{channel}-fold{fold}"
    return Plan(dataset(channel, fold), partial(rows, channel=channel, fold=fold), name)


def rows(inputs: Inputs, *, channel: Channel, fold: int | None = None) -> Iterator[Entry]:
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
        row = _row(name, path, part)
        if fold is not None:
            row["split"] = "test" if (int(part["actor"]) - 1) // 4 == fold - 1 else "train"
            row["labels"]["fold"] = fold
        yield Entry(row, inputs.media_root, at)


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
