"""CREMA-D → manifest: `python data_recipes/crema_d.py FOLDER [--fold 1]`.

FOLDER is the repository with its large files: `AudioWAV/1001_DFA_ANG_XX.wav`, and where there
are, `VideoFlash/*.flv`. A name is `ACTOR_SENTENCE_EMOTION_LEVEL`; `emotion` is what the actor
was asked for; what people heard and saw is `perceived_voice`, `perceived_face` and
`perceived_multimodal` (a list where votes are equal), if `processedResults/summaryTable.csv` is
there. One file's level is cut off (`1040_ITH_SAD_X`). The publisher has no split: `--fold` makes
one of HiCMAE's five, each of which tests on consecutive actors, and leaves out the five takes
that it leaves out; else make one by `speaker`. Format: CheyneyComputerScience/CREMA-D (README);
folds: sunlicai/HiCMAE@cdd28d4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import typer
from commandline import Folder, Plan, command
from readers.media import AUDIO, VIDEO, index
from readers.tables import by_key, read_csv
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": "", "X": ""}
TAKE = re.compile(r"(?P<actor>1\d{3})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>\w+)")
DATASET = Dataset(
    name="crema_d",
    title="CREMA-D (91 actors, 12 sentences; video, sound; six emotions, levels)",
    licence="Open Database License 1.0",
    access="open, https://github.com/CheyneyComputerScience/CREMA-D",
    source="Cao et al. 2014, doi 10.1109/TAFFC.2014.2336244",
    counts={"total": 7442},
    labels={"emotion": tuple(EMOTIONS.values())},
)
# fold → the actors that are tested (HiCMAE, saved/data/crema-d/audio_visual), and how many takes
FOLDS = {
    1: (range(1001, 1019), 1463),
    2: (range(1019, 1037), 1470),
    3: (range(1037, 1055), 1475),
    4: (range(1055, 1073), 1474),
    5: (range(1073, 1092), 1555),
}
LEFT_OUT = (
    *("1040_ITH_SAD_X", "1040_ITH_SAD_XX", "1064_IEO_DIS_MD", "1064_TIE_SAD_XX"),
    *("1076_MTI_NEU_XX", "1076_MTI_SAD_XX"),
)
VOTES = "processedResults/summaryTable.csv"
PERCEIVED = {
    "VoiceVote": "perceived_voice",
    "FaceVote": "perceived_face",
    "MultiModalVote": "perceived_multimodal",
}
_LETTERS = {code[0]: word for code, word in EMOTIONS.items()}


def dataset(fold: int | None) -> Dataset:
    """The terms and counts, of everything or of a fold."""
    if fold is None:
        return DATASET
    tested = FOLDS[fold][1]
    whole = sum(count for _, count in FOLDS.values())
    source = f"{DATASET.source}; folds: Sun et al. 2024 (HiCMAE), arXiv 2401.05698"
    counts = {"train": whole - tested, "test": tested}
    return Dataset(**{**vars(DATASET), "source": source, "counts": counts})


def plan(
    folder: Folder,
    fold: Annotated[int | None, typer.Option(min=1, max=5, help="Of HiCMAE's five.")] = None,
) -> Plan:
    """Make a manifest of CREMA-D, whole or split as HiCMAE does."""
    name = "" if fold is None else f"fold{fold}"
    return Plan(dataset(fold), partial(rows, fold=fold), name)


def rows(inputs: Inputs, *, fold: int | None) -> Iterator[Entry]:
    """A row for each sound file, with its video where there is one."""
    votes = perceived(inputs)
    folder = inputs.media_folder("AudioWAV")
    videos = index(inputs.media_root / "VideoFlash", VIDEO)
    for at, (name, sound) in enumerate(index(folder, AUDIO).items(), start=1):
        take = TAKE.fullmatch(name)
        if take is None or take["emotion"] not in EMOTIONS or take["level"] not in LEVELS:
            raise DataError(str(sound), "a name of another form", expected="1001_DFA_ANG_XX.wav")
        row: dict[str, Any] = {"id": name, "audio": sound, "language": "en"}
        row["speaker"] = take["actor"]
        row |= {"video": videos[name]} if name in videos else {}
        labels: dict[str, Any] = {"emotion": EMOTIONS[take["emotion"]]}
        labels["sentence"] = take["sentence"]
        if LEVELS[take["level"]]:
            labels["intensity_level"] = LEVELS[take["level"]]
        labels |= votes.get(name, {})
        if fold is not None:
            if name in LEFT_OUT:
                continue
            row["split"] = "test" if int(take["actor"]) in FOLDS[fold][0] else "train"
            labels["fold"] = fold
        yield Entry({**row, "labels": labels}, folder, at)


def perceived(inputs: Inputs) -> dict[str, dict[str, Any]]:
    """Take → the emotions that most raters chose; {} where the table is not there."""
    path = inputs.folder / VOTES
    if not path.is_file():
        return {}
    lines = by_key(read_csv(path, ["FileName", *PERCEIVED]), "FileName")
    found: dict[str, dict[str, Any]] = {}
    for name, line in lines.items():
        for column, key in PERCEIVED.items():
            letters = line.text(column).split(":")
            if not all(letter in _LETTERS for letter in letters):
                raise DataError(line.where, f"{column} {letters}", expected="A, D, F, H, N, S")
            words = [_LETTERS[letter] for letter in letters]
            found.setdefault(name, {})[key] = words[0] if len(words) == 1 else words
    return found


APP = command(plan)

if __name__ == "__main__":
    APP()
