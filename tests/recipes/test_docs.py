"""docs/data.md has a row for each recipe, and its numbers are those that the recipes check."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from recipe import Dataset

from tests.recipes.conftest import RECIPES
from tests.recipes.kit import SUBSET, Kit, run
from tests.recipes.makers import MAKERS
from tests.recipes.test_contract import SCRIPTS

PAGE = (RECIPES.parent / "docs/data.md").read_text(encoding="utf-8")
TABLE = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in PAGE.split("## Manifest")[0].splitlines()
    if line.startswith("| `")
]
ROWS = {cells[0].strip("`"): cells for cells in TABLE if len(cells) > 2}
TOLD = PAGE.split("### What the recipes were held against")[1].split("\n## ")[0].split("\n### ")[0]
HELD = {
    name.strip("`"): against for name, against in re.findall(r"^\| (`\w+`) \| (.*) \|$", TOLD, re.M)
}


def published(name: str) -> list[Dataset]:
    """The datasets of a recipe as its documentation shows them: first fold, default classes.

    A recipe names them as `DATASET`, or as `DATASETS` where it has several.
    """
    module = import_module(name)
    if hasattr(module, "DATASETS"):
        return list(module.DATASETS.values())
    return {
        "conversations": list,  # the user's own
        "preferences": list,
        "emer": lambda: [module.dataset(1), module.dataset(2)],
        "merr": lambda: [module.dataset("coarse"), module.dataset("fine")],
        "ch_sims_v2": lambda: [module.FINAL],
        "dfew": lambda: [module.dataset(1)],
        "mafw": lambda: [module.dataset(1, compound=False)],
        "ravdess": lambda: [module.dataset("speech"), module.dataset("song")],
    }.get(name, lambda: [module.DATASET])()


def test_each_recipe_has_its_row() -> None:
    assert sorted(ROWS) == SCRIPTS
    for name, cells in ROWS.items():
        assert len(cells) == 7, name
        assert all(cells), name
        assert f"`{name}.py " in cells[6]


def test_each_recipe_says_what_it_was_held_against() -> None:
    assert sorted(HELD) == SCRIPTS
    for name, against in HELD.items():
        assert against.startswith(("published", "fixture")), name


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - {"iemocap", "mer_unibench"}))
def test_the_numbers_are_those_that_are_checked(name: str) -> None:
    shown = [int(n.replace(",", "")) for n in re.findall(r"(?<!\w)\d[\d,]*", counts(name))]
    checked = [count for dataset in published(name) for count in dataset.counts.values()]
    assert [n for n in shown if n > 10] == checked


def test_iemocaps_numbers_are_those_that_are_checked() -> None:
    from iemocap import dataset

    shown = re.findall(r"classes: ([\d,]+)", counts("iemocap"))
    checked = [dataset(classes, 5).counts["total"] for classes in ("4", "6")]
    assert [int(n.replace(",", "")) for n in shown] == checked


def test_unibenchs_sets_have_the_counts_of_their_recipes() -> None:
    import ch_sims_v2
    from mer_unibench import FORMS

    for name in ("meld", "cmu_mosi", "cmu_mosei", "ch_sims"):
        assert FORMS[name].counts == dict(published(name)[0].counts)
    assert FORMS["ch_sims_v2"].counts == ch_sims_v2.FIRST.counts
    assert sum(FORMS["iemocap4"].counts.values()) == 5531


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_command_runs_as_written_on_the_recipes_fixture(
    name: str, tmp_path: Path, kit: Kit
) -> None:
    made = MAKERS[name](tmp_path, kit)
    script, _, *options = shlex.split(ROWS[name][6].split("`")[1])
    assert script == f"{name}.py"
    given = dict(zip(made.args[1::2], made.args[2::2], strict=False))
    own = {"--media-root": made.args[0], **given}
    places = {each: own[each] for each in ("--media-root", "--licence") if each in own}
    args = [places.get(before, word) for before, word in zip(["", *options], options, strict=False)]
    ran = run(name, [made.args[0], *args, SUBSET], tmp_path)
    assert ran.code == 0, ran.err
    assert ran.rows


OTHERS = [
    (name, other) for name, cells in ROWS.items() for other in re.findall("`([^`]+)`", cells[6])[1:]
]


@pytest.mark.parametrize(("name", "other"), OTHERS)
def test_the_other_ways_to_run_it_are_ways_to_run_it(
    name: str, other: str, tmp_path: Path, kit: Kit
) -> None:
    """A fixture need not have the files of all: a data error may say so, and no option is wrong."""
    made = MAKERS[name](tmp_path, kit)
    written = shlex.split(ROWS[name][6].split("`")[1])[2:]
    words = shlex.split(other.replace("SET/SUBJECT", "casme2/sub01"))
    if words[0] == f"{name}.py":
        options = words[2:]
    elif words[0].startswith("--"):
        kept = [] if words[0] in written else written
        options = [*kept, *words]
    else:
        options = [*written[:-1], *words]
    places = {"MELD.Raw": made.args[0], "IMAGES": str(tmp_path)}
    ran = run(name, [made.args[0], *(places.get(word, word) for word in options), SUBSET], tmp_path)
    assert ran.code in (0, 1), ran.err
    assert ran.rows if ran.code == 0 else str(tmp_path) in ran.err


def counts(name: str) -> str:
    return ROWS[name][2]
