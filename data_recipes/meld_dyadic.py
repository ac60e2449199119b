"""MELD's dyadic dialogues → manifest: `python data_recipes/meld_dyadic.py FOLDER`.

FOLDER is `data/MELD_Dyadic` of MELD's repository (`{train,dev,test}_sent_emo_dya.csv`), and
`--media-root` the unpacked `MELD.Raw.tar.gz`: a row's clip is that of `Old_Dialogue_ID` and
`Old_Utterance_ID` in MELD. An utterance of MELD may stand in several dyads; `group` is its dialogue
in MELD. Format: declare-lab/MELD.
"""

from __future__ import annotations

from collections.abc import Iterator

from commandline import app
from meld import BROKEN, COLUMNS, DATASET, SPLITS
from readers.dialogues import earlier
from readers.tables import read_csv
from readers.texts import repair
from recipe import Dataset, Entry, Inputs

TABLES = {split: table.replace(".csv", "_dya.csv") for split, (table, _) in SPLITS.items()}
OLD = ("Old_Dialogue_ID", "Old_Utterance_ID")
DYADIC = Dataset(
    **{
        **vars(DATASET),
        "name": "meld_dyadic",
        "title": "MELD, dyadic (two people of a TV series; video, sound, text; seven emotions)",
        "access": "open, https://github.com/declare-lab/MELD (data/MELD_Dyadic) and MELD's clips",
        "counts": {"train": 12840, "val": 1462, "test": 3400},
    }
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each utterance of a dyad."""
    tables = {split: inputs.folder / table for split, table in TABLES.items()}
    for split in inputs.splits(tables):
        clips = inputs.media_folder(*SPLITS[split][1])
        said: dict[int, list[tuple[str, str]]] = {}
        for line in read_csv(tables[split], (*COLUMNS, *OLD)):
            before = said.setdefault(line.integer("Dialogue_ID"), [])
            speaker, text = repair(line.text("Speaker")), repair(line.text("Utterance"))
            dialogue, number = (line.integer(column) for column in OLD)
            name = f"dia{dialogue}_utt{number}"
            dyad, turn = line.integer("Dialogue_ID"), line.integer("Utterance_ID")
            row = {
                "id": f"{split}_dyad{dyad}_utt{turn}",
                "subtitle": text,
                "language": "en",
                "speaker": speaker,
                "group": f"{split}_dia{dialogue}",
                "split": split,
                "labels": {
                    "emotion": line.text("Emotion").lower(),
                    "sentiment": line.text("Sentiment").lower(),
                    "context": earlier(before),
                },
            }
            if (split, name) not in BROKEN:  # as in MELD, text only
                row["video"] = clips / f"{name}.mp4"
            before.append((speaker, text))
            yield Entry(row, line.path, line.number)


DATASETS = {"dyadic": DYADIC}
APP = app(DYADIC, rows)

if __name__ == "__main__":
    APP()
