"""MERR → manifest: `python data_recipes/merr.py FOLDER --media-root MER2023 --grain coarse|fine`.

FOLDER holds Emotion-LLaMA's annotations: `MERR_coarse_grained.json` or `MERR_fine_grained.json`
({name: {pseu_emotion, visual_prior_list, audio_prior_list, text, peak_index, caption |
smp_reason_caption}}), `MERR_*_grained.txt` (`name emotion` or `name frames emotion [valence]`) and
optionally `transcription_en_all.csv` (`name, sentence`). The labels are pseudo-labels from facial
action units, the descriptions a model's. The clips are MER2023's unlabelled ones. `peak_s` is the
frame `peak_index` at the clip's frame rate; whether 0 or 1 is the first frame is not published.
Format: ZebangCheng/Emotion-LLaMA, docs/dataset/configuration.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from commandline import Folder, Plan, command
from readers.jsons import need, read_json
from readers.media import VIDEO, spread
from readers.mer import said, subtitles
from readers.tables import lines_of
from recipe import Dataset, Entry, Inputs

from affect_mllm.media.video import probe
from affect_mllm.types import DataError

Grain = Literal["coarse", "fine"]
EMOTIONS = ("neutral", "angry", "happy", "sad", "worried", "surprise", "fear", "contempt", "doubt")
_CAPTION = {"coarse": "caption", "fine": "smp_reason_caption"}


def dataset(grain: Grain) -> Dataset:
    """The terms and counts of one of the two sets."""
    return Dataset(
        name=f"merr_{grain}",
        title=f"MERR, {grain}-grained (MER2023's clips; nine pseudo-labels, machine descriptions)",
        licence="annotations CC BY-NC 4.0 and EULA; clips under MER2023's EULA",
        access="annotations open, https://github.com/ZebangCheng/Emotion-LLaMA; clips: MER2023",
        source="Cheng et al. 2024, NeurIPS (Emotion-LLaMA), arXiv 2406.11161",
        counts={"train": {"coarse": 28618, "fine": 4487}[grain]},
        labels={"emotion": EMOTIONS},
    )


def plan(
    folder: Folder,
    grain: Annotated[Grain, typer.Option(help="Coarse: templates. Fine: a model's reasoning.")],
) -> Plan:
    """Make a manifest of MERR: pseudo-labels, cues and descriptions of MER2023's clips."""
    return Plan(dataset(grain), partial(rows, grain=grain), f"merr-{grain}")


def rows(inputs: Inputs, *, grain: Grain) -> Iterator[Entry]:
    """A row for each annotated clip."""
    path = inputs.folder / f"MERR_{grain}_grained.json"
    texts = subtitles(inputs.folder / "transcription_en_all.csv", "sentence", needed=False)
    listed = emotions(inputs.folder / f"MERR_{grain}_grained.txt")
    videos = spread(inputs.media_root, VIDEO)
    without = 0
    for at, (name, record) in enumerate(read_json(path, dict).items(), start=1):
        where = f"{path}:{name}"
        emotion = _emotion(where, record.get("pseu_emotion"), listed.get(name))
        subtitle = str(record.get("text") or "").strip()
        if not subtitle and name in texts:
            subtitle = texts[name].optional("sentence")
        row = {"id": name, "video": videos.get(name, inputs.media_root / f"{name}.mp4")}
        labels = {"emotion": emotion, **_cues(where, record, _CAPTION[grain])}
        row |= {**said(subtitle, "en"), "split": "train", "labels": labels}
        if "peak_index" in labels and row["video"].is_file():
            peak_s = _peak_s(row["video"], labels["peak_index"])
            row |= {"peak_s": peak_s} if peak_s is not None else {}
            without += peak_s is None
        yield Entry(row, path, at)
    if without:
        inputs.notes.append(f"{without} rows have a peak frame that is not found in their clip")


def emotions(path: Path) -> dict[str, str]:
    """Clip → emotion of an annotation list; {} where there is none. DataError for other lines."""
    found: dict[str, str] = {}
    for number, text in lines_of(path) if path.is_file() else ():
        cells = text.split()
        if len(cells) not in (2, 3, 4):
            raise DataError(
                f"{path}:{number}",
                f"{len(cells)} columns",
                expected="NAME EMOTION or NAME FRAMES EMOTION [VALENCE]",
            )
        found[cells[0]] = cells[1 if len(cells) == 2 else 2]
    return found


def _emotion(where: str, written: object, listed: str | None) -> str:
    """The label that JSON and list agree on; DataError where there is none or they do not."""
    named = {str(each).strip().lower() for each in (written, listed) if each}
    if len(named) != 1:
        raise DataError(
            where, f"the emotions {sorted(named)}", expected="one, in the JSON or the list"
        )
    return named.pop()


def _peak_s(video: Path, index: int) -> float | None:
    """When the clip shows its frame `index`; None where it does not have it or is not readable."""
    try:
        clip = probe(video)
    except DataError:  # that it cannot be read is for validate to say
        return None
    if not clip.fps or not clip.duration_s or index / clip.fps >= clip.duration_s:
        return None
    return index / clip.fps


def _cues(where: str, record: dict[str, Any], caption: str) -> dict[str, Any]:
    labels: dict[str, Any] = {"description": need(where, record, caption, str).strip()}
    if record.get("visual_prior_list"):
        labels["visual_cues"] = ", ".join(map(str, need(where, record, "visual_prior_list", list)))
    if record.get("audio_prior_list"):
        labels["vocal_cues"] = need(where, record, "audio_prior_list", str).strip()
    if str(record.get("peak_index", "")).isdigit():
        labels["peak_index"] = int(record["peak_index"])
    return labels


APP = command(plan)

if __name__ == "__main__":
    APP()
