"""Video-MME → manifest: `python data_recipes/video_mme.py FILE [--subtitles]`.

FILE is the Hub's Parquet of `lmms-lab/Video-MME` (videoID, question_id, duration, domain,
sub_category, task_type, question, options, answer), or a folder of its shards. Below
`--media-root`: `data/VIDEOID.mp4`, and `subtitle/VIDEOID.srt` where a video has some. With
`--subtitles` a row has all that is spoken in its video as `subtitle` (the publisher shows the lines
of the sampled frames alone) and is a row of `video_mme_subtitles`, else of `video_mme`.
Format: EvolvingLMMs-Lab/lmms-eval@75571cf (tasks/videomme).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from commandline import Plan, command
from readers.embedded import File, Record, records
from readers.tables import read_text
from recipe import Dataset, Entry, Inputs

COLUMNS = ("videoID", "question_id", "duration", "question", "options", "answer")
DATASET = Dataset(
    name="video_mme",
    title="Video-MME (questions about short, medium and long videos)",
    licence="academic research only; videos are their makers'",
    access="open, https://huggingface.co/datasets/lmms-lab/Video-MME",
    source="Fu et al. 2024, arXiv 2405.21075",
    counts={"total": 2700},
    labels={"duration": ("short", "medium", "long")},
)
_LETTER = re.compile(r"^\(?[A-J][.):]\s*")
_TAG = re.compile(r"<[^<>]*>")


def plan(
    file: File,
    *,
    subtitles: Annotated[bool, typer.Option(help="Rows with what is spoken.")] = False,
) -> Plan:
    """Make a manifest of Video-MME's questions."""

    def rows(inputs: Inputs) -> Iterator[Entry]:
        return made(inputs, file, subtitles=subtitles)

    return Plan(DATASET, rows, "subtitles" if subtitles else "")


def made(inputs: Inputs, file: Path, *, subtitles: bool) -> Iterator[Entry]:
    """A row for each question; `group` is the video."""
    without: set[str] = set()
    for record in records(file, COLUMNS):
        name = record.text("videoID")
        row = {
            "id": record.text("question_id"),
            "video": inputs.media_root / "data" / f"{name}.mp4",
            "group": name,
            "labels": _labels(record) | {"subtitles": subtitles},
        }
        if subtitles:
            path = inputs.media_root / "subtitle" / f"{name}.srt"
            row["subtitle"] = spoken(read_text(path)) if path.is_file() else ""
            without |= set() if row["subtitle"] else {name}
        yield Entry(row, record.path, record.number)
    if without:
        inputs.notes.append(f"{len(without)} videos have no subtitles: their rows have none")


def _labels(record: Record) -> dict[str, Any]:
    texts = [_LETTER.sub("", each) for each in record.texts("options")]
    return {
        "question": record.text("question"),
        "options": dict(zip("ABCDEFGHIJ", texts, strict=False)),
        "answer": record.letter("answer"),
        "duration": record.text("duration"),
        "domain": record.get("domain") or "none",
        "sub_category": record.get("sub_category") or "none",
        "task_type": record.get("task_type") or "none",
    }


def spoken(srt: str) -> str:
    """The lines of a subtitle file without numbers, times and tags."""
    lines = (_TAG.sub("", line).strip() for line in srt.splitlines())
    return " ".join(line for line in lines if line and "-->" not in line and not line.isdigit())


APP = command(plan)

if __name__ == "__main__":
    APP()
