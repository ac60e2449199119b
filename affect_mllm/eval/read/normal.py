"""Text as it is compared: Unicode forms, letter case, quotes, Chinese characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

CJK = re.compile(r"[㐀-鿿]")
_PLAIN = str.maketrans("’‘ʼ´′−‐‑“”„«»「」『』【】", "'''''---" + '"' * 9 + "[]")
_SEEN = re.compile(r"[^\W_]")


def unified(text: str) -> str:
    """Unicode NFKC with plain quotes and minus signs, letter case as it was."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", text).translate(_PLAIN)


def folded(text: str) -> str:
    """A unified text without letter case, Chinese in simplified characters."""
    if text.isascii():
        return text.lower()
    return text.casefold().translate(_simplified())


def spaces(text: str) -> str:
    """Single spaces between words."""
    return " ".join(text.split())


def is_blank(text: str) -> bool:
    """Whether there is no letter or digit in it."""
    return _SEEN.search(text) is None


def table(name: str) -> Iterator[str]:
    """The lines of a table of this room that say something."""
    text = files("affect_mllm.eval.read").joinpath("tables", name).read_text("utf-8")
    yield from (line for line in text.splitlines() if line.strip() and not line.startswith("#"))


@lru_cache(maxsize=64)
def word_set(name: str) -> frozenset[str]:
    """A set of words by its name in `tables/words.txt`; KeyError where there is none."""
    return _sets()[name]


@lru_cache(maxsize=64)
def words_in(name: str, language: str) -> frozenset[str]:
    """The same with the words that a language adds, those of "NAME (LANGUAGE)", if any."""
    return word_set(name) | _sets().get(f"{name} ({language})", frozenset())


@lru_cache(maxsize=1)
def _sets() -> dict[str, frozenset[str]]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in table("words.txt"):
        if not line.startswith(" "):
            name, _, line = line.partition(": ")
        found.setdefault(name, []).extend(line.split())
    return {name: frozenset(each) for name, each in found.items()}


@lru_cache(maxsize=1)
def _simplified() -> dict[int, str]:
    pairs = "".join(table("traditional.txt")).replace(" ", "")
    return {ord(old): new for old, new in zip(pairs[::2], pairs[1::2], strict=True)}
