"""EmoryNLP → manifest: `python data_recipes/emorynlp.py FOLDER`.

FOLDER is `data/emorynlp` of MELD's repository: `emorynlp_{train,dev,test}_final.csv`. Text
alone: no clips are published. `Speaker` is a list as text; a row of several speakers names them
together. `group` is the scene, `labels.context` the turns before one in it. Format:
declare-lab/MELD.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from commandline import app
from readers.dialogues import earlier
from readers.tables import Line, read_csv
from readers.texts import repair
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

EMOTIONS = ("neutral", "joyful", "scared", "mad", "peaceful", "powerful", "sad")
FILES = {"train": "train", "val": "dev", "test": "test"}
COLUMNS = ("Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode")
DATASET = Dataset(
    name="emorynlp",
    title="EmoryNLP (transcripts of a TV series; text; seven emotions)",
    licence="GPL-3.0 (MELD's repository); the transcripts are TV material",
    access="open, https://github.com/declare-lab/MELD (data/emorynlp)",
    source="Zahiri and Choi 2018, AAAI workshops, arXiv 1708.04299",
    counts={"train": 7551, "val": 954, "test": 984},
    labels={"emotion": EMOTIONS},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each utterance."""
    paths = {split: inputs.folder / f"emorynlp_{name}_final.csv" for split, name in FILES.items()}
    for split in inputs.splits(paths):
        said: dict[str, list[tuple[str, str]]] = {}
        for line in read_csv(paths[split], COLUMNS):
            group = "s{}e{}c{}".format(*map(line.text, ("Season", "Episode", "Scene_ID")))
            before = said.setdefault(group, [])
            speaker, text = _speakers(line), repair(line.text("Utterance"))
            labels = {"emotion": line.text("Emotion").lower(), "context": earlier(before)}
            before.append((speaker, text))
            row = {"id": f"{split}_{group}u{line.text('Utterance_ID')}", "subtitle": text}
            row |= {"language": "en", "speaker": speaker, "split": split, "labels": labels}
            yield Entry({**row, "group": f"{split}_{group}"}, line.path, line.number)


def _speakers(line: Line) -> str:
    """The speakers' names, joined."""
    try:
        names = ast.literal_eval(line.text("Speaker"))
    except (ValueError, SyntaxError):
        names = None
    if not isinstance(names, list) or not names:
        raise DataError(line.where, f"Speaker {line.text('Speaker')!r}", expected="['NAME']")
    return ", ".join(map(str, names))


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
