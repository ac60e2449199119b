"""What the README tells a newcomer to type or to open exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from affect_mllm.tools.app import COMMANDS
from tests.pages import PAGES, ROOT, blocks, spans

README = ROOT / "README.md"


def code_of(page: Path) -> str:
    """The text of a page's code blocks and code spans, a line each."""
    return "\n".join([*(text for _, text in blocks(page)), *spans(page)])


def test_the_readme_has_the_two_set_up_commands() -> None:
    assert {"demo", "test"} <= set(re.findall(r"\bmake ([a-z]+)", code_of(README)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z-]+)", code_of(page))) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_subcommands_exist(page: Path) -> None:
    named = re.findall(r"^\s*(?:\$ )?affect-mllm ([a-z][\w-]*)", code_of(page), re.M)
    assert set(named) <= COMMANDS.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_experiments_exist(page: Path) -> None:
    known = {each.stem for each in (ROOT / "conf/experiment").glob("*.yaml")}
    assert set(re.findall(r"\bexperiment=([a-z]\w*)", code_of(page))) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [
        link for link in links if "://" not in link and not (page.parent / link).resolve().exists()
    ]
    assert not missing


def test_make_targets_of_the_makefile_are_all_phony() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.M)
    assert phony is not None
    assert set(re.findall(r"^([a-z-]+):", text, re.M)) == set(phony.group(1).split())


def test_soak_runs_whatever_is_longer_in_a_soak() -> None:
    asks = re.compile(r"environ\.get\(\"AFFECT_SOAK\"\)")
    longer = {
        f.relative_to(ROOT) for f in (ROOT / "tests").rglob("*.py") if asks.search(f.read_text())
    }
    said = re.search(r"^soak:.*?^$", (ROOT / "Makefile").read_text(), re.M | re.S)
    assert said is not None
    assert {Path(word) for word in said.group().split() if word.startswith("tests/")} >= longer
