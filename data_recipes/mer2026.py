"""MER2026's training sets → manifest: `python data_recipes/mer2026.py FOLDER --part NAME`.

FOLDER is the release (`video/`, `audio/`, `openface_face/`, `subtitle_chieng.csv`). `--part`:
`track1` (`track1_train.csv`: `name, discrete`, six emotions of the person who speaks), `human`
and `mercaptionplus` of track 2 (`track2_train_NAME.csv`: `name, openset`), `emoprefer` and
`emopreferv2` of track 3 (`track3_NAME.csv`: `name, a1, a2, preference`, of which the answer that
people prefer is named `a1` or `a2`, or neither as `same`; a pair that is decided has labels
`chosen` and `rejected` besides). EmoPrefer-Data's own `preference_emoprefer.csv` is that file
under another name. Test labels are not published. Formats:
zeroQiaoba/MERTools@89120b7, MER2026.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

import typer
from commandline import Folder, Plan, command
from readers.media import Clips
from readers.mer import EMOTIONS, open_labels, said, subtitles
from readers.pairs import longer_wins
from readers.tables import Line, read_csv
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

Part = Literal["track1", "human", "mercaptionplus", "emoprefer", "emopreferv2"]
# part → its table, columns, rows
PARTS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "track1": ("track1_train.csv", ("discrete",), 9395),
    "human": ("track2_train_human.csv", ("openset",), 1532),
    "mercaptionplus": ("track2_train_mercaptionplus.csv", ("openset",), 31327),
    "emoprefer": ("track3_emoprefer.csv", ("a1", "a2", "preference"), 574),
    "emopreferv2": ("track3_emopreferv2.csv", ("a1", "a2", "preference"), 2096),
}
DATASETS = {
    part: Dataset(
        name=f"mer2026_{part}",
        title=f"MER2026, {part} (Chinese film and TV clips; video, sound, faces, text)",
        licence="CC BY-NC 4.0 and EULA, academic research only",
        access="EULA on https://huggingface.co/datasets/MERChallenge/MER2026",
        source="zeroQiaoba/MERTools@89120b7, MER2026 (READMEs)",
        counts={"train": count},
        labels={"emotion": EMOTIONS} if part == "track1" else {},
    )
    for part, (_, _, count) in PARTS.items()
}


def plan(
    folder: Folder, part: Annotated[Part, typer.Option(help="Which of the training sets.")]
) -> Plan:
    """Make a manifest of one of MER2026's training sets."""
    return Plan(DATASETS[part], partial(rows, part=part), part)


def rows(inputs: Inputs, *, part: Part) -> Iterator[Entry]:
    """A row for each line; a clip has several in track 3."""
    file, columns, _ = PARTS[part]
    lines = read_csv(inputs.folder / file, ["name", *columns])
    texts = subtitles(inputs.folder / "subtitle_chieng.csv", "english")
    clips = Clips(inputs)
    pairs: list[tuple[str, str]] = []
    for line in lines:
        name = line.text("name")
        id = f"{name}#{line.number}" if "preference" in columns else name
        text = texts[name].optional("english") if name in texts else ""
        row: dict[str, Any] = {"id": id, **clips.of(name), **said(text, "en"), "split": "train"}
        labels = _labels(line, columns)
        pairs += [(labels["chosen"], labels["rejected"])] if "chosen" in labels else []
        yield Entry(row | {"labels": labels, "group": name}, line.path, line.number)
    inputs.notes += longer_wins(pairs)
    if silent := len({line.text("name") for line in lines} - texts.keys()):
        inputs.notes.append(f"{silent} clips have no line in subtitle_chieng.csv and no subtitle")


def _labels(line: Line, columns: tuple[str, ...]) -> dict[str, Any]:
    if columns == ("openset",):
        return {"emotions": open_labels(line)}
    if columns == ("discrete",):
        return {"emotion": line.text("discrete")}
    found = {column: line.text(column) for column in columns}
    preferred = found["preference"]
    if preferred not in ("a1", "a2", "same"):
        raise DataError(line.where, f"preference {preferred!r}", expected="a1, a2 or same")
    if preferred == "same":
        return found
    other = {"a1": "a2", "a2": "a1"}[preferred]
    return found | {"chosen": found[preferred], "rejected": found[other]}


APP = command(plan)

if __name__ == "__main__":
    APP()
