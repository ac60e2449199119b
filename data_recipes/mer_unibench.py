"""MER-UniBench's sets → manifest: `python data_recipes/mer_unibench.py FOLDER --dataset NAME`.

FOLDER is one `…-process` folder as MER-UniBench distributes it, with the names that AffectGPT's
published predictions use: a label archive (`label.npz`, `label_4way.npz`, `label_6way.npz`),
subtitles in English (`transcription-engchi-polish.csv`), clips, sounds and OpenFace crops. A clip's
`group`, its dialogue or source video, is its name without the last part (`train_dia0_utt1`,
`video_0001_0002`). MER2023, MER2024 and OV-MERD+ have recipes of their own; whoever has the
publisher's release of the others takes those recipes.
Formats and orders of classes: zeroQiaoba/MERTools@89120b7 (MERBench/toolkit/preprocess),
zeroQiaoba/AffectGPT@fffca79 (my_affectgpt/datasets).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import typer
from commandline import Folder, Plan, command
from readers.archives import corpora
from readers.media import Clips
from readers.mer import subtitles
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

Name = Literal["meld", "iemocap4", "iemocap6", "cmu_mosi", "cmu_mosei", "ch_sims", "ch_sims_v2"]


@dataclass(frozen=True)
class Form:
    """Where a set keeps its files, and what its numbers mean: classes, or a score of ±`limit`."""

    counts: dict[str, int]
    licence: str
    archive: str = "label.npz"
    videos: str = "subvideo"
    sounds: str = "subaudio"
    classes: tuple[str, ...] = ()
    limit: float = 0.0


_SIMS = {"videos": "video", "sounds": "audio", "limit": 1.0}
_MELD = ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")
_IEMOCAP = ("happy", "sad", "neutral", "angry", "excited", "frustrated")
FORMS: dict[str, Form] = {
    "meld": Form({"train": 9989, "val": 1109, "test": 2610}, "GPL-3.0; TV material", classes=_MELD),
    "iemocap4": Form(
        {"train": 4290, "test": 1241},
        "release form; research only",
        archive="label_4way.npz",
        videos="subvideo-tgt",
        classes=_IEMOCAP[:4],
    ),
    "iemocap6": Form(
        {"train": 5810, "test": 1623},
        "release form; research only",
        archive="label_6way.npz",
        videos="subvideo-tgt",
        classes=_IEMOCAP,
    ),
    "cmu_mosi": Form({"train": 1284, "val": 229, "test": 686}, "research use", limit=3.0),
    "cmu_mosei": Form({"train": 16326, "val": 1871, "test": 4659}, "research use", limit=3.0),
    "ch_sims": Form({"train": 1368, "val": 456, "test": 457}, "research use", **_SIMS),
    "ch_sims_v2": Form({"train": 2722, "val": 647, "test": 1034}, "research use", **_SIMS),
}


def dataset(name: Name) -> Dataset:
    """The terms and counts of a set."""
    form = FORMS[name]
    return Dataset(
        name=f"unibench_{name}",
        title=f"MER-UniBench's form of {name}",
        licence=form.licence,
        access="links of https://github.com/zeroQiaoba/AffectGPT; terms of the set's publisher",
        source="Lian et al. 2025, ICML (AffectGPT), arXiv 2501.16566",
        counts=form.counts,
        labels={"emotion": form.classes} if form.classes else {},
    )


def plan(
    folder: Folder,
    dataset_name: Annotated[Name, typer.Option("--dataset", help="Which set FOLDER holds.")],
) -> Plan:
    """Make a manifest of one of MER-UniBench's processed sets."""
    return Plan(dataset(dataset_name), partial(rows, form=FORMS[dataset_name]))


def rows(inputs: Inputs, *, form: Form) -> Iterator[Entry]:
    """A row for each clip of the label archive."""
    path = inputs.folder / form.archive
    labelled = corpora(path)
    texts = subtitles(inputs.folder / "transcription-engchi-polish.csv", "english")
    clips = Clips(inputs, videos=form.videos, sounds=form.sounds)
    for corpus_name, corpus in labelled.items():
        for at, (name, values) in enumerate(corpus.items(), start=1):
            where = f"{path}:{corpus_name}_corpus[{name!r}]"
            if name not in texts:
                raise DataError(where, "no line for this clip in the subtitle file")
            row = {"id": name, **clips.of(name), "subtitle": texts[name].optional("english")}
            row |= {"language": "en", "group": name.rpartition("_")[0] or name}
            row["split"] = _split(corpus_name, name)
            yield Entry({**row, "labels": _labels(where, values, form)}, path, at)


def _split(corpus: str, name: str) -> str:
    """The split; of IEMOCAP, one corpus of sessions, the fifth is tested on (AffectGPT)."""
    if corpus != "whole":
        return corpus
    return "test" if name.startswith("Ses05") else "train"


def _labels(where: str, values: dict[str, Any], form: Form) -> dict[str, Any]:
    if form.classes:
        number = values["emo"]
        if not isinstance(number, int | float) or int(number) not in range(len(form.classes)):
            raise DataError(where, f"emo {number!r}", expected=f"0 to {len(form.classes) - 1}")
        return {"emotion": form.classes[int(number)]}
    score = float(values.get("val", "nan"))
    if not abs(score) <= form.limit:
        raise DataError(where, f"val {score}", expected=f"{-form.limit:g} to {form.limit:g}")
    return {"sentiment": score}


APP = command(plan)

if __name__ == "__main__":
    APP()
