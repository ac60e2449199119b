"""docs/design.md names every file of the package in its room, and none that is not there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "affect_mllm"
PAGE = (ROOT / "docs/design.md").read_text(encoding="utf-8")
TABLE = PAGE.split("Where to look first:")[1].split("\n\n")[1]
ROOMS = {
    line.split("|")[1].strip(" `"): set(re.findall(r"`([\w/]+)`", line.split("|")[2]))
    for line in TABLE.splitlines()[2:]
}


def entries(room: Path) -> set[str]:
    """What a room's row names: its modules, and the rooms in it with a stroke behind them."""
    files = {path.stem for path in room.glob("*.py")} - {"__init__"}
    return files | {f"{path.parent.name}/" for path in room.glob("*/__init__.py")}


def test_every_room_has_its_row() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms <= ROOMS.keys()
    assert all((PACKAGE / name).is_dir() for name in ROOMS), sorted(ROOMS)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_the_row_names_what_is_there(room: str) -> None:
    named, there = ROOMS[room], entries(PACKAGE / room)
    assert sorted(there - named) == [], "not in docs/design.md, “Where to look first”"
    below = {path.stem for path in (PACKAGE / room).rglob("*.py")}
    assert sorted(named - there - below) == [], "in docs/design.md, but not there"


def test_every_module_of_the_package_can_be_imported() -> None:
    """Also those that only a GPU machine's commands reach; no name that moved is asked for."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(PACKAGE.rglob("*.py"))
    ]
    for name in names:
        importlib.import_module(name)
