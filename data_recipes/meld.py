"""MELD → manifest: `python data_recipes/meld.py FOLDER`.

FOLDER is the unpacked `MELD.Raw.tar.gz`, or `data/MELD` of the repository and `--media-root` the
former: `train_sent_emo.csv`, `dev_sent_emo.csv`, `test_sent_emo.csv` and the clips `diaD_uttU.mp4`
in `train_splits/` (or `train/`), `dev_splits_complete/` (`dev/`) and `output_repeated_splits_test/`
(`test/`). Dialogue numbers start
again in every split. Utterances carry mojibake, which is repaired where that round-trips. What was
said before in the dialogue is the label `context`.

What is known to be wrong with the clips (declare-lab/MELD issues 20, 22, 27, 39, 52; MERTools'
preprocess/meld.py): dev dia110_utt7 was never there, train dia125_utt3 and test dia279_utt15 do
not decode. These rows stay, as text, unless the clip is there and decodes. Four more clips are cut
wrongly (up to minutes long); they stay as they are, since the published numbers include them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from commandline import app
from readers.dialogues import earlier
from readers.tables import Line, read_csv
from readers.texts import repair
from recipe import Dataset, Entry, Inputs

from affect_mllm.tools.decoding import Job, decode_one

DATASET = Dataset(
    name="meld",
    title="MELD (scenes of a TV series; video, sound, text; seven emotions, three sentiments)",
    licence="GPL-3.0 (annotations); the clips are TV material",
    access="open, https://affective-meld.github.io",
    source="Poria et al. 2019, ACL, arXiv 1810.02508",
    counts={"train": 9989, "val": 1109, "test": 2610},
    labels={
        "emotion": ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"),
        "sentiment": ("negative", "neutral", "positive"),
    },
)
COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
# split → table, names that the clips' folder may have
SPLITS = {
    "train": ("train_sent_emo.csv", ("train_splits", "train")),
    "val": ("dev_sent_emo.csv", ("dev_splits_complete", "dev")),
    "test": ("test_sent_emo.csv", ("output_repeated_splits_test", "test")),
}
BROKEN = {("val", "dia110_utt7"), ("train", "dia125_utt3"), ("test", "dia279_utt15")}
WRONGLY_CUT = "train dia309_utt0 and dia793_utt0, test dia38_utt4 and dia220_utt0"


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each utterance; `group` is the dialogue."""
    repaired = 0
    tables = {split: inputs.folder / table for split, (table, _) in SPLITS.items()}
    for split in inputs.splits(tables):
        clips = inputs.media_folder(*SPLITS[split][1])
        lines = read_csv(tables[split], COLUMNS)
        said = _dialogues(lines)
        for line in lines:
            entry = _entry(line, split, clips, inputs)
            repaired += entry.row["subtitle"] != line.text("Utterance")
            turns, number = said[line.integer("Dialogue_ID")], line.integer("Utterance_ID")
            entry.row["labels"]["context"] = earlier(
                turns[at] for at in sorted(turns) if at < number
            )
            yield entry
    if repaired:
        inputs.notes.append(f"{repaired} utterances had mojibake, which was undone")
    if not inputs.labels_only:
        inputs.notes.append(f"cut wrongly by the publisher, and kept: {WRONGLY_CUT}")


def _dialogues(lines: Iterable[Line]) -> dict[int, dict[int, tuple[str, str]]]:
    """Of each dialogue, speaker and text by the utterance's number."""
    found: dict[int, dict[int, tuple[str, str]]] = {}
    for line in lines:
        turn = (repair(line.text("Speaker")), repair(line.text("Utterance")))
        found.setdefault(line.integer("Dialogue_ID"), {})[line.integer("Utterance_ID")] = turn
    return found


def _entry(line: Line, split: str, clips: Path, inputs: Inputs) -> Entry:
    dialogue, utterance = line.integer("Dialogue_ID"), line.integer("Utterance_ID")
    name = f"dia{dialogue}_utt{utterance}"
    row = {
        "id": f"{split}_{name}",
        "video": clips / f"{name}.mp4",
        "subtitle": repair(line.text("Utterance")),
        "language": "en",
        "speaker": repair(line.text("Speaker")),
        "group": f"{split}_dia{dialogue}",
        "split": split,
        "labels": {
            "emotion": line.text("Emotion").lower(),
            "sentiment": line.text("Sentiment").lower(),
        },
    }
    if not inputs.labels_only and (split, name) in BROKEN and not _decodes(row["video"]):
        del row["video"]
        inputs.notes.append(f"{split} {name}: the clip is absent or broken; the row is text only")
    return Entry(row, line.path, line.number)


def _decodes(path: Path) -> bool:
    """Whether a clip is there and decodes, as `affect-mllm validate --decode` would see it."""
    return path.is_file() and decode_one(Job(path.parent, "video", path.name)) is None


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
