"""ExpLLM's rows → manifest: `python data_recipes/expllm.py FOLDER --set raf_db|affectnet`.

FOLDER is `data_list/anno_json` of the repository, and `--media-root` the folder that `file_name`
starts from: RAF-DB's `Image/aligned`, or AffectNet as Kaggle has it. A row is `{file_name,
emo}`; where there is a file of descriptions (`…_mini_description.json`), the row has its
`description` and `action_units`, 24 intensities of 0 to 1 whose names were inferred from the
descriptions' words. Format: starhiking/ExpLLM-TMM@d34dd4a.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from commandline import Folder, Plan, command
from readers.jsons import need, read_json
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError, finite

Set = Literal["raf_db", "affectnet"]
UNITS = (
    *("left eye closed", "right eye closed", "left lid raised", "right lid raised"),
    *("left brow lowered", "right brow lowered", "left brow raised", "right brow raised"),
    *("jaw dropped", "jaw left", "jaw right", "left lip corner up", "right lip corner up"),
    *("left lip stretched", "right lip stretched", "upper lip sucked", "lower lip sucked"),
    *("jaw thrust", "upper lip up", "lower lip down", "chin up", "lips puckered"),
    *("cheeks puffed", "nose wrinkled"),
)
SEVEN = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
# set → split → file of labels, file of descriptions
FILES = {
    "raf_db": {
        "train": ("rafdb_train.json", "rafdb_emo_au_train_mini_description.json"),
        "test": ("rafdb_valid.json", "rafdb_emo_au_val_mini_description.json"),
    },
    "affectnet": {
        split: (f"{name}.json", f"{name}_mini_description.json")
        for split, name in (
            ("train", "Affectnet_kaggle_train-sample-affectnet"),
            ("val", "Affectnet_kaggle_valid-sample-affectnet"),
        )
    },
}
COUNTS = {"raf_db": {"train": 12271, "test": 3068}, "affectnet": {"train": 37553, "val": 4000}}
DATASETS = {
    name: Dataset(
        name=f"expllm_{name}",
        title=f"ExpLLM's {title} (photographs of faces; emotions, action units, descriptions)",
        licence="MIT (repository); the photographs keep their own terms",
        access=f"open, https://github.com/starhiking/ExpLLM-TMM; photographs: {title}'s terms",
        source="Lan et al. 2024, arXiv 2409.02828; starhiking/ExpLLM-TMM@d34dd4a",
        counts=COUNTS[name],
        labels={"emotion": SEVEN + (("contempt",) if name == "affectnet" else ())},
    )
    for name, title in (("raf_db", "RAF-DB"), ("affectnet", "AffectNet"))
}


def plan(
    folder: Folder,
    part: Annotated[Set, typer.Option("--set", help="Whose photographs.")],
) -> Plan:
    """Make a manifest of ExpLLM's labels, action units and descriptions."""
    return Plan(DATASETS[part], partial(rows, part=part), part)


def rows(inputs: Inputs, *, part: Set) -> Iterator[Entry]:
    """A row for each photograph."""
    files = FILES[part]
    for split in inputs.splits({name: inputs.folder / file for name, (file, _) in files.items()}):
        path, described = (inputs.folder / name for name in files[split])
        found = _described(described) if described.is_file() else {}
        if not found:
            inputs.notes.append(f"{split}: no {described.name}, so no descriptions")
        for at, _, item, name in _items(path):
            labels = {"emotion": item["emo"].lower(), **found.get(name, {})}
            row = {"id": f"{split}/{name.removesuffix('.jpg')}", "split": split, "labels": labels}
            yield Entry({**row, "image": inputs.media_root / name}, path, at)


def _items(path: Path) -> Iterator[tuple[int, str, dict[str, Any], str]]:
    """Number, place, record and file name."""
    for at, item in enumerate(read_json(path, list), start=1):
        where = f"{path}[{at - 1}]"
        if not isinstance(item, dict):
            raise DataError(where, f"a {type(item).__name__}", expected="an object")
        need(where, item, "emo", str)
        yield at, where, item, need(where, item, "file_name", str)


def _described(path: Path) -> dict[str, dict[str, Any]]:
    """File name → description and action units."""
    found = {}
    for _, where, item, name in _items(path):
        units = need(where, item, "au", list)
        if len(units) != len(UNITS) or not all(finite(each) and 0 <= each <= 1 for each in units):
            raise DataError(where, f"au {units}", expected=f"{len(UNITS)} numbers of 0 to 1")
        text = need(where, item, "description", str)
        found[name] = {
            "description": text,
            "action_units": dict(zip(UNITS, units, strict=True)),
        }
    return found


APP = command(plan)

if __name__ == "__main__":
    APP()
