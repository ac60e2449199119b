"""MAFW → manifest of one fold: `python data_recipes/mafw.py FOLDER --fold 1 [--compound]`.

FOLDER is the release: `Train & Test Set/{single,compound}/no_caption/set_N/{train,test}.txt`
(`clip.mp4 label`, UTF-8) and the clips in `data/clips/` (or `clips/`). The descriptions are read
from what there is of `Labels/descriptive_text.xlsx` (clip, Chinese, English; no header) and
`caption-label/single_label.txt`, `multi_label.txt` (`clip.mp4`, label, `<br>` Chinese, `<br>`
English). Neutral clips have none. Compound labels (`anger_disgust`) become a list. There is no
validation split. Formats: MAFW-database/MAFW (README), public loaders of the release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from commandline import Folder, Plan, command
from readers.media import VIDEO, index, need_folder
from readers.tables import lines_of, read_columns, read_xlsx
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

EMOTIONS = (
    "anger",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
    "contempt",
    "anxiety",
    "helplessness",
    "disappointment",
)
SINGLE = {1: (7333, 1839), 2: (7335, 1837), 3: (7339, 1833), 4: (7340, 1832), 5: (7341, 1831)}
COMPOUND = {1: (7178, 1818), 2: (7187, 1809), 3: (7198, 1798), 4: (7208, 1788), 5: (7213, 1783)}
CAPTION = re.compile(r"(?P<clip>\S+\.mp4)\s+\S+\s+<br>(?P<zh>.*?)\s*<br>\s*(?P<en>.*)")


def dataset(fold: int, *, compound: bool) -> Dataset:
    """The terms and counts of a fold."""
    train, test = (COMPOUND if compound else SINGLE)[fold]
    return Dataset(
        name="mafw_compound" if compound else "mafw",
        title=f"MAFW, fold {fold} of 5 (film and short-video clips; video, sound; "
        f"{'compound labels' if compound else 'eleven emotions'}, descriptions)",
        licence="non-commercial research; no redistribution",
        access="signed form by e-mail, https://mafw-database.github.io/MAFW",
        source="Liu et al. 2022, ACM MM, doi 10.1145/3503161.3548190; split files of the release",
        counts={"train": train, "test": test},
        labels={"emotion": EMOTIONS, "emotions": EMOTIONS},
    )


def plan(
    folder: Folder,
    fold: Annotated[int, typer.Option(min=1, max=5, help="Of the five folds.")] = 1,
    compound: Annotated[bool, typer.Option(help="The set with several labels a clip.")] = False,
) -> Plan:
    """Make a manifest of one of MAFW's five folds."""
    variant = f"{'compound-' if compound else ''}fold{fold}"
    made = partial(rows, fold=fold, compound=compound)
    return Plan(dataset(fold, compound=compound), made, variant)


def rows(inputs: Inputs, *, fold: int, compound: bool) -> Iterator[Entry]:
    """A row for each clip of the fold."""
    folder = inputs.folder
    kind = "compound" if compound else "single"
    splits = need_folder(folder, f"Train & Test Set/{kind}/no_caption/set_{fold}")
    clips = inputs.media_folder("data/clips", "clips")
    videos = index(clips, VIDEO)
    captions = descriptions(folder)
    paths = {split: splits / f"{split}.txt" for split in ("train", "test")}
    for split in inputs.splits(paths):
        for line in read_columns(paths[split], ["clip", "label"], delimiter=None):
            file, label = line.text("clip"), line.text("label")
            name = file.removesuffix(".mp4")
            labels: dict[str, Any] = {"fold": fold}
            labels |= {"emotions": label.split("_")} if compound else {"emotion": label}
            row = {"id": name, "video": videos.get(name, clips / file), "split": split}
            yield Entry({**row, "labels": labels | captions.get(file, {})}, line.path, line.number)


def descriptions(folder: Path) -> dict[str, dict[str, str]]:
    """Clip file → `description` (English) and `caption_zh`, of the files that are there."""
    found: dict[str, dict[str, str]] = {}
    for name in ("single_label.txt", "multi_label.txt"):
        found |= _text_captions(folder / "caption-label" / name)
    book = folder / "Labels/descriptive_text.xlsx"
    for line in read_xlsx(book, ["clip", "zh", "en"]) if book.is_file() else ():
        found[line.text("clip")] = _caption(line.text("zh"), line.text("en"))
    return found


def _text_captions(path: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for number, text in lines_of(path) if path.is_file() else ():
        line = CAPTION.fullmatch(text)
        if line is None or not line["en"]:
            raise DataError(
                f"{path}:{number}",
                f"the line {text[:60]!r}",
                expected="clip.mp4, label, <br>Chinese, <br>English",
            )
        found[line["clip"]] = _caption(line["zh"], line["en"])
    return found


def _caption(chinese: str, english: str) -> dict[str, str]:
    both = {"description": english.strip(), "caption_zh": chinese.strip()}
    return {key: value for key, value in both.items() if value}


APP = command(plan)

if __name__ == "__main__":
    APP()
