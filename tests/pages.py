"""The pages that a reader of the project opens, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "docker/README.md"])
FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block of a page, in their order."""
    yield from FENCED.findall(page.read_text(encoding="utf-8"))


def spans(page: Path) -> Iterator[str]:
    """The code in a page's sentences and tables, each on one line."""
    prose = FENCED.sub("", page.read_text(encoding="utf-8"))
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))


def all_blocks(language: str) -> list[tuple[str, str]]:
    """Page and text of each block of a language; those of extend.md are followed by its test."""
    pages = [page for page in PAGES if page.name != "extend.md"]
    return [(page.name, text) for page in pages for kind, text in blocks(page) if kind == language]
