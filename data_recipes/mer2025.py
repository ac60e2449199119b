"""MER2025's training sets → manifest: `python data_recipes/mer2025.py FOLDER --subset NAME`.

FOLDER is the release (`video/`, `audio/`, `openface_face/`, `subtitle_chieng.csv`). `--subset
mercaptionplus` is MER-Caption+ (machine-written labels), `ovmerd` is OV-MERD (checked by
people), `track1` has six emotions (`track1_train_disdim.csv`: `name, discrete`). Each of the
first two has open-vocabulary labels (`track2_train_SUBSET.csv`: `name, openset`) and English
descriptions (`track3_train_SUBSET.csv`: `name, reason`). Formats: zeroQiaoba/MERTools@89120b7,
MER2025/MER2025_Track23/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Literal

import typer
from commandline import Folder, Plan, command
from readers.media import Clips
from readers.mer import EMOTIONS, open_labels, said, subtitles
from readers.tables import by_key, read_csv
from recipe import Dataset, Entry, Inputs

Name = Literal["mercaptionplus", "ovmerd", "track1"]
_TITLE = "(Chinese film and TV clips; video, sound, faces, text; open-vocabulary labels, reasons)"
_LICENCE = "CC BY-NC 4.0 and EULA, academic research only"
_ACCESS = "EULA on https://huggingface.co/datasets/MERChallenge/MER2025"
DATASETS: dict[str, Dataset] = {
    "mercaptionplus": Dataset(
        name="mer_caption_plus",
        title=f"MER-Caption+ {_TITLE}",
        licence=_LICENCE,
        access=_ACCESS,
        source="Lian et al. 2025, ICML (AffectGPT), arXiv 2501.16566, Table 1",
        counts={"train": 31327},
    ),
    "ovmerd": Dataset(
        name="ov_merd",
        title=f"OV-MERD {_TITLE}",
        licence=_LICENCE,
        access=_ACCESS,
        source="Lian et al. 2025, ICML (OV-MER), arXiv 2410.01495",
        counts={"train": 332},
    ),
    "track1": Dataset(
        name="mer2025_track1",
        title="MER2025, track 1 (Chinese film and TV clips; video, sound, faces, text; emotions)",
        licence=_LICENCE,
        access=_ACCESS,
        source="zeroQiaoba/MERTools@89120b7, MER2025/MER2025_Track1/README.md",
        counts={"train": 7369},
        labels={"emotion": EMOTIONS},
    ),
}


def plan(
    folder: Folder,
    subset: Annotated[Name, typer.Option(help="Which of the training sets.")],
) -> Plan:
    """Make a manifest of MER-Caption+, OV-MERD or track 1 from MER2025's release."""
    if subset == "track1":
        return Plan(DATASETS[subset], track1, subset)
    return Plan(DATASETS[subset], partial(rows, subset=subset), subset)


def rows(inputs: Inputs, *, subset: Name) -> Iterator[Entry]:
    """A row for each clip of either table, with the labels that it has."""
    folder = inputs.folder
    openset = by_key(read_csv(folder / f"track2_train_{subset}.csv", ["name", "openset"]), "name")
    reasons = by_key(read_csv(folder / f"track3_train_{subset}.csv", ["name", "reason"]), "name")
    texts = subtitles(folder / "subtitle_chieng.csv", "english")
    clips = Clips(inputs)
    inputs.notes += _notes(openset.keys() ^ reasons.keys(), openset.keys() | reasons.keys(), texts)
    for name, line in {**reasons, **openset}.items():
        labels: dict[str, object] = {}
        if name in openset:
            labels["emotions"] = open_labels(openset[name])
        if name in reasons:
            labels["description"] = reasons[name].optional("reason")
        if not labels.get("description"):
            labels.pop("description", None)
        subtitle = texts[name].optional("english") if name in texts else ""
        row = {"id": name, **clips.of(name), **said(subtitle, "en")}
        yield Entry({**row, "split": "train", "labels": labels}, line.path, line.number)


def track1(inputs: Inputs) -> Iterator[Entry]:
    """A row for each clip that has one of six emotions."""
    texts = subtitles(inputs.folder / "subtitle_chieng.csv", "english")
    lines = read_csv(inputs.folder / "track1_train_disdim.csv", ["name", "discrete"])
    clips = Clips(inputs)
    inputs.notes += _notes(set(), {line.text("name") for line in lines}, texts)
    for line in lines:
        name = line.text("name")
        subtitle = texts[name].optional("english") if name in texts else ""
        row = {"id": name, **clips.of(name), **said(subtitle, "en"), "split": "train"}
        labels = {"emotion": line.text("discrete")}
        yield Entry({**row, "labels": labels}, line.path, line.number)


def _notes(one_label: set[str], names: set[str], texts: dict) -> Iterator[str]:
    if one_label:
        yield f"{len(one_label)} clips are in one of the two tables only"
    if silent := len(names - texts.keys()):
        yield f"{silent} clips have no line in subtitle_chieng.csv and get no subtitle"


APP = command(plan)

if __name__ == "__main__":
    APP()
