"""IEMOCAP → manifest: `python data_recipes/iemocap.py FOLDER --classes 4|6|all`.

FOLDER is `IEMOCAP_full_release` with `Session1` … `Session5`. Read are, of each session,
`dialog/EmoEvaluation/*.txt` (`[START - END] TURN EMOTION [V, A, D]`, one such line a turn),
`dialog/transcriptions/*.txt` (`TURN [START-END]: TEXT`), `dialog/avi/DivX/*.avi` and
`dialog/wav/*.wav`, whose turns are cut by time; in a release without video, `sentences/wav/`.

`--classes 4` is happy (with excited), angry, sad, neutral: 5,531 turns. `--classes 6` keeps excited
and frustrated apart: 7,380 turns. (The 7,433 of a pickled file that many papers use has 53 more
happy turns than the publisher's files.) Turns on which the annotators did not agree have no label
and are left out; what was said in them is part of the label `context` of later turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from commandline import Folder, Plan, command
from readers.dialogues import earlier
from readers.media import need_folder
from readers.tables import lines_of
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

Classes = Literal["4", "6", "all"]
WORDS = {
    "neu": "neutral",
    "hap": "happy",
    "sad": "sad",
    "ang": "angry",
    "exc": "excited",
    "fru": "frustrated",
    "sur": "surprised",
    "fea": "scared",
    "dis": "disgusted",
    "oth": "other",
    "xxx": "",  # the annotators did not agree
}
KEPT = {
    "4": ("neutral", "happy", "sad", "angry"),
    "6": ("neutral", "happy", "sad", "angry", "excited", "frustrated"),
    "all": tuple(word for word in WORDS.values() if word),
}
# Published turns of each class; of disgusted and other there is no published count.
COUNTS = {
    "neutral": 1708,
    "frustrated": 1849,
    "angry": 1103,
    "sad": 1084,
    "excited": 1041,
    "happy": 595,
    "surprised": 107,
    "scared": 40,
}
TURN = re.compile(
    r"\[(?P<start>[\d.]+) - (?P<end>[\d.]+)\]\t(?P<turn>Ses\d\d[FM]_\w+_[FM]\w+)\t(?P<code>\w+)\t"
    r"\[(?P<v>[\d.]+), (?P<a>[\d.]+), (?P<d>[\d.]+)\]"
)
RATING = re.compile(r"[CA]-[EFM]\d*:|%")  # single annotators' lines, and the line that explains
SPOKEN = re.compile(r"(?P<turn>Ses\d\d[FM]_\w+) \[[\d.]+-[\d.]+\]:(?P<text>.*)")


def dataset(classes: Classes, test_session: int) -> Dataset:
    """The terms and counts for a choice of classes; MER-UniBench tests on session 5."""
    kept = {word: COUNTS[word] for word in KEPT[classes] if word in COUNTS}
    if classes == "4":
        kept["happy"] += COUNTS["excited"]
    totals = {"total": sum(kept.values())} if classes != "all" else {}
    if classes == "4" and test_session == 5:
        totals |= {"train": 4290, "test": 1241}
    return Dataset(
        name=f"iemocap{classes}" if classes != "all" else "iemocap",
        title="IEMOCAP (acted dialogues of two; video, sound, text; emotions, valence, arousal)",
        licence="release form; research only, no redistribution",
        access="request to USC SAIL, https://sail.usc.edu/iemocap/iemocap_release.htm",
        source="Busso et al. 2008, doi 10.1007/s10579-008-9076-6",
        counts=totals,
        labels={"emotion": KEPT[classes]},
        classes={"emotion": kept},
    )


def plan(
    folder: Folder,
    classes: Annotated[Classes, typer.Option(help="4: excited counts as happy.")] = "4",
    test_session: Annotated[int, typer.Option(min=1, max=5, help="The others are train.")] = 5,
) -> Plan:
    """Make a manifest of IEMOCAP: dialogues cut into turns."""
    made = partial(rows, classes=classes, test_session=test_session)
    return Plan(dataset(classes, test_session), made, f"iemocap-{classes}")


def rows(inputs: Inputs, *, classes: Classes, test_session: int) -> Iterator[Entry]:
    """A row for each turn of the chosen classes; `group` is the dialogue."""
    left_out = silent = 0
    sessions = {f"Session{number}": inputs.folder / f"Session{number}" for number in range(1, 6)}
    for session in inputs.splits(sessions):
        folder, media = need_folder(inputs.folder, session), inputs.media_folder(session)
        split = "test" if session == f"Session{test_session}" else "train"
        for table in _texts(need_folder(folder, "dialog/EmoEvaluation")):
            spoken = transcript(folder / "dialog/transcriptions" / table.name)
            for number, turn in turns(table):
                word = WORDS[turn["code"]]
                if classes == "4" and word == "excited":
                    word = "happy"
                if word not in KEPT[classes]:
                    left_out += 1
                    continue
                row = _row(turn, media, table.stem, spoken) | {"split": split}
                silent += "subtitle" not in row
                before = {"context": _before(turn["turn"], spoken)} if "subtitle" in row else {}
                row["labels"] = {"emotion": word, **_dimensions(turn), **before}
                yield Entry(row, table, number)
    inputs.notes.append(f"{left_out} turns left out: no agreed label, or another class")
    if silent:
        inputs.notes.append(f"{silent} turns have no line in their transcript: no subtitle")


def turns(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of every turn of an evaluation file.

    DataError for a line of another form, and for a file without turns.
    """
    none = True
    for number, text in lines_of(path):
        if found := TURN.fullmatch(text):
            if found["code"] not in WORDS:
                raise DataError(f"{path}:{number}", f"emotion {found['code']!r}")
            none = False
            yield number, found.groupdict()
        elif not RATING.match(text):
            raise DataError(
                f"{path}:{number}",
                f"the line {text[:60]!r}",
                expected="[START - END] TURN EMOTION [V, A, D], or an annotator's rating",
            )
    if none:
        raise DataError(str(path), "no turns in it")


def transcript(path: Path) -> dict[str, str]:
    """Turn → text. Lines that are not of a numbered turn (asides as `M: …`) are passed over."""
    found = (SPOKEN.fullmatch(text) for _, text in lines_of(path))
    return {line["turn"]: line["text"].strip() for line in found if line}


def _texts(folder: Path) -> list[Path]:
    """The dialogues' files: macOS left its own `._Ses…` beside them."""
    found = sorted(path for path in folder.glob("Ses*.txt") if path.is_file())
    if not found:
        raise DataError(str(folder), "no Ses*.txt in it")
    return found


def _row(turn: dict[str, str], folder: Path, dialogue: str, spoken: dict[str, str]) -> dict:
    name = turn["turn"]
    row: dict[str, Any] = {"id": name, "language": "en"}
    if name in spoken:
        row["subtitle"] = spoken[name]
    row |= {"speaker": _speaker(name), "group": dialogue}
    video, sound = (folder / "dialog" / at for at in (f"avi/DivX/{dialogue}.avi", "wav"))
    if not video.parent.is_dir():
        return row | {"audio": folder / "sentences/wav" / dialogue / f"{name}.wav"}
    whole = {"video": video, "start_s": float(turn["start"]), "end_s": float(turn["end"])}
    audio = sound / f"{dialogue}.wav"
    return row | whole | ({"audio": audio} if audio.is_file() else {})


def _before(name: str, spoken: dict[str, str]) -> list[str]:
    """The turns that stand before this one in the transcript, which is in order of time."""
    turns = list(spoken)
    return earlier((_speaker(turn), spoken[turn]) for turn in turns[: turns.index(name)])


def _speaker(turn: str) -> str:
    """Ses01F_impro01_M003: session 1, and what stands last names the speaker, by gender."""
    return f"{turn[:5]}_{turn.split('_')[-1][0]}"


def _dimensions(turn: dict[str, str]) -> dict[str, float]:
    """The means of 1 … 5 ratings, moved to −1 … 1; one that is outside of 1 … 5 is left out."""
    names = {"valence": "v", "arousal": "a", "dominance": "d"}
    rated = {name: float(turn[key]) for name, key in names.items()}
    return {name: (value - 3) / 2 for name, value in rated.items() if 1 <= value <= 5}


APP = command(plan)

if __name__ == "__main__":
    APP()
