"""Berlin Database of Emotional Speech → manifest: `python data_recipes/emodb.py FOLDER [--fold 1]`.

FOLDER is the unpacked `download.zip`, with `wav/03a01Fa.wav`: actor, sentence, emotion by the first
letter of its German name, version. Everyone says the same ten sentences, so they are the label
`sentence` and no subtitle. The publisher has no split: `--fold` makes one of five, which
test on two actors each, in the order of their numbers; of the two after them the first one is
`val`. These folds are ours. Format: Burkhardt et al. 2005, http://emodb.bilderbar.info.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import typer
from commandline import Folder, Plan, command
from readers.media import AUDIO, index
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happy",
    "T": "sad",
    "N": "neutral",
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
# fold → its two actors, and how many utterances of theirs, of the val actor, of the others
FOLDS = {
    1: (("03", "08"), 107, 43),
    2: (("09", "10"), 81, 55),
    3: (("11", "12"), 90, 61),
    4: (("13", "14"), 130, 56),
    5: (("15", "16"), 127, 49),
}
TAKE = re.compile(r"(?P<actor>\d\d)(?P<sentence>[ab]\d\d)(?P<emotion>[A-Z])(?P<version>[a-z])")
DATASET = Dataset(
    name="emodb",
    title="Berlin Database of Emotional Speech (10 actors, 10 German sentences; seven emotions)",
    licence="free to use, by its publisher",
    access="open, http://emodb.bilderbar.info",
    source="Burkhardt et al. 2005, Interspeech, doi 10.21437/Interspeech.2005-446",
    counts={"total": 535},
    labels={"emotion": tuple(EMOTIONS.values())},
    classes={
        "emotion": {
            "anger": 127,
            "boredom": 81,
            "disgust": 46,
            "fear": 69,
            "happy": 71,
            "sad": 62,
            "neutral": 79,
        }
    },
)


def dataset(fold: int | None) -> Dataset:
    """The terms and counts, of everything or of a fold."""
    if fold is None:
        return DATASET
    _, tested, held = FOLDS[fold]
    counts = {"train": 535 - tested - held, "val": held, "test": tested}
    return Dataset(**{**vars(DATASET), "counts": counts})


def plan(
    folder: Folder,
    fold: Annotated[int | None, typer.Option(min=1, max=5, help="Of five, by actors.")] = None,
) -> Plan:
    """Make a manifest of the Berlin Database of Emotional Speech, whole or split by actors."""
    name = "" if fold is None else f"fold{fold}"
    return Plan(dataset(fold), partial(rows, fold=fold), name)


def rows(inputs: Inputs, *, fold: int | None) -> Iterator[Entry]:
    """A row for each sound file."""
    folder = inputs.media_folder("wav")
    for at, (name, sound) in enumerate(index(folder, AUDIO).items(), start=1):
        take = TAKE.fullmatch(name)
        if take is None or take["emotion"] not in EMOTIONS or take["sentence"] not in SENTENCES:
            raise DataError(str(sound), "a name of another form", expected="03a01Fa.wav")
        row: dict[str, Any] = {"id": name, "audio": sound, "language": "de"}
        row["speaker"] = take["actor"]
        labels: dict[str, Any] = {"emotion": EMOTIONS[take["emotion"]]}
        labels["sentence"] = SENTENCES[take["sentence"]]
        if fold is not None:
            row["split"] = split_of(take["actor"], fold)
            labels["fold"] = fold
        yield Entry({**row, "labels": labels}, folder, at)


def split_of(actor: str, fold: int) -> str:
    """Where an actor belongs: every one is tested in one fold."""
    if actor in FOLDS[fold][0]:
        return "test"
    return "val" if actor == FOLDS[fold % 5 + 1][0][0] else "train"


APP = command(plan)

if __name__ == "__main__":
    APP()
