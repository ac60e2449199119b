"""What conf/data asks about a data set can be answered from the rows that its recipe writes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.data.template import Conversation
from tests.recipes.kit import SUBSET, Kit, run
from tests.recipes.makers import MAKERS

# conf/data → its recipe, and the label space there of each question that lists one
ASKED: dict[str, tuple[str, dict[str, str]]] = {
    "mer_caption_plus": ("mer2025", {}),
    "merr": ("merr", {}),
    "mer2023": ("mer2023", {"label": "emotion"}),
    "meld": ("meld", {"label": "emotion", "sentiment": "sentiment"}),
    "meld_words": ("meld", {"label": "emotion"}),
    "meld_turns": ("meld", {"label": "emotion"}),
    "iemocap": ("iemocap", {"label": "emotion"}),
    "dfew": ("dfew", {"label": "emotion"}),
    "mafw": ("mafw", {"label": "emotion"}),
    "cmu_mosei": ("cmu_mosei", {"sentiment": "polarity"}),
    "conversations": ("conversations", {}),
}
MORE = {"iemocap": ["--classes", "4"]}


def spaces(recipe: str) -> dict[str, tuple[str, ...]]:
    """The label spaces that the recipe checks."""
    module: Any = import_module(recipe)
    made = {
        "iemocap": lambda: module.dataset("4", 5),
        "dfew": lambda: module.dataset(1),
        "mafw": lambda: module.dataset(1, compound=False),
    }.get(recipe, lambda: module.DATASET)()
    return made.labels


def test_every_data_set_of_the_configuration_is_asked() -> None:
    shipped = {path.stem for path in (config.conf_dir() / "data").glob("*.yaml")}
    learnt = {"aeb"}  # a label a row: test_words_learnt.py
    assert shipped == {*ASKED, *learnt, "clips", "own", "synthetic"}


@pytest.mark.parametrize("name", ASKED)
def test_every_question_has_an_answer_in_the_recipes_rows(
    name: str, tmp_path: Path, kit: Kit
) -> None:
    recipe, _ = ASKED[name]
    made = MAKERS[recipe](tmp_path, kit)
    ran = run(recipe, [*made.args, *MORE.get(name, []), SUBSET], tmp_path)
    (path,) = ran.manifests
    cfg = config.checked(
        config.compose("train", ["experiment=own_clips", f"data={name}", f"data.manifest={path}"])
    )
    rows = [row for row in manifest.read(path) if row.split == "train"]
    assert rows
    for asked in config.build(cfg.data).instructions.values():
        for row in rows:
            if isinstance(asked, Conversation):
                assert row.messages
            else:
                question, answer = asked.ask(row, np.random.default_rng(0))
                assert question
                assert answer


@pytest.mark.parametrize("name", [name for name, (_, listed) in ASKED.items() if listed])
def test_the_label_spaces_are_the_recipes(name: str) -> None:
    recipe, listed = ASKED[name]
    cfg = config.compose("train", ["experiment=own_clips", f"data={name}", "data.manifest=x"])
    for question, label in listed.items():
        asked = cfg.data.instructions[question]
        assert sorted(asked.allowed) == sorted(spaces(recipe)[label])


def test_human_mmes_boxes_are_drawn_where_they_are_said(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["human_mme"](tmp_path, kit)
    rows = run("human_mme", [*made.args, SUBSET], tmp_path).rows
    with Image.open(tmp_path / rows["q3"]["image"]) as file:
        pixels = np.asarray(file).astype(int)
    height, width = pixels.shape[:2]
    green = (pixels == (0, 255, 0)).all(-1)
    assert green[height // 4, width // 4 : 3 * width // 4].all()
    assert green[height // 4 : 3 * height // 4, 3 * width // 4].all()
    assert not green[height // 4 + 2 : 3 * height // 4 - 2, width // 4 + 2 : width // 2].any()
    assert rows["q3"]["group"] == rows["q2"]["group"], "of one picture"
    assert rows["q5"]["labels"]["answer"] == "D"
    assert [clip["name"] for clip in rows["q5"]["clips"]] == ["A", "B", "C", "D"]
