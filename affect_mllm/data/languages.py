"""Questions and label words in the language of a clip: `languages.yaml`, and who is asked in which.

What is not translated stays English: a question as a whole with the words that it lists, or a
label alone. Nothing is translated by a machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from string import Formatter
from typing import Any

from affect_mllm.log import LOGGER
from affect_mllm.types import ConfigError

ROW = "row"  # each row in its own
ENGLISH = "en"
_ENGLISH = {ENGLISH, "eng", "english"}
_OTHERWISE = {"deu": "de", "ger": "de", "german": "de", "zho": "zh", "chi": "zh", "cmn": "zh",
              "chinese": "zh"}  # fmt: skip


@dataclass(frozen=True)
class Language:
    """One language of `languages.yaml`.

    `questions` are by their English phrasing, `names` what labels of a manifest are called,
    `words` by an English class its own word and those that an answer may use beside it.
    """

    code: str
    questions: Mapping[str, str]
    names: Mapping[str, str]
    words: Mapping[str, tuple[str, ...]]

    def labels(self, english: Sequence[str]) -> tuple[str, ...]:
        """The classes of a task in their order; those that have no word, or the word of another
        class of this task, as they are.
        """
        found = [self.words.get(label.casefold(), (label,))[0] for label in english]
        return tuple(
            word if found.count(word) == 1 else label
            for label, word in zip(english, found, strict=True)
        )

    def also(self, english: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """Pairs of a word of the language and the one class of the task that it stands for; without
        classes all words, each with its first English name.
        """
        if not english:
            firsts: dict[tuple[str, ...], str] = {}
            for name, words in self.words.items():
                firsts.setdefault(words, name)
            english = tuple(firsts.values())
        said: dict[str, list[str]] = {}
        for label in english:
            for word in self.words.get(label.casefold(), ()):
                said.setdefault(word, []).append(label)
        return tuple((word, labels[0]) for word, labels in said.items() if len(labels) == 1)

    def value(self, english: Any, allowed: Sequence[str] = ()) -> Any:
        """A row's label, or each of a list of them, in the words of `labels(allowed)`; what is no
        class stays.
        """
        if isinstance(english, list | tuple):
            return [self.value(each, allowed) for each in english]
        if not isinstance(english, str):
            return english
        space = allowed if english in allowed else (english,)
        return self.labels(space)[list(space).index(english)]

    def question(self, english: str) -> str | None:
        """A phrasing, or a question that was made of one, with the labels that it lists; None where
        there is no translation.
        """
        if english in self.questions:
            return self.questions[english]
        for phrasing, form in _forms(self.code):
            if match := form.fullmatch(english):
                return self.questions[phrasing].format(**self._values(match.groupdict()))
        return None

    def name(self, english: str) -> str:
        """What labels are called, one or several between commas."""
        return ", ".join(self.names.get(each, each) for each in english.split(", "))

    def _values(self, found: Mapping[str, str]) -> dict[str, str]:
        values = dict(found)
        if "labels" in values:
            values["labels"] = ", ".join(self.labels(values["labels"].split(", ")))
        if "name" in values:
            values["name"] = self.name(values["name"])
        return values


def codes() -> list[str]:
    """The languages that have translations."""
    return sorted(_table())


def check(language: str | None, where: str) -> None:
    """ConfigError for what is neither `row` nor a language that has translations."""
    known = [ROW, ENGLISH, *codes()]
    if language is not None and language not in known:
        raise ConfigError(where, repr(language), expected=f"one of {known}, or null: as written")


def chosen(language: str | None, of_row: str | None) -> Language | None:
    """The language that an option `language` asks a row in; None: as the question is written.

    Says once of each language of rows that it has no translation.
    """
    if language is None:
        return None
    if language != ROW:
        return read(language)
    code = of_row and re.split(r"[-_]", of_row.strip().casefold())[0]
    code = _OTHERWISE.get(code or "", code)
    if code in _ENGLISH:
        return None
    if not code or code not in _table():
        _said(f"rows without a language of {[ENGLISH, *codes()]} ({code or 'none'}) are asked as "
              "the question is written")  # fmt: skip
        return None
    return read(code)


def asked(language: str | None, of_row: str | None, written: str) -> tuple[Language, str] | None:
    """A row's language and the question in it; None where it is asked as it is written."""
    found = chosen(language, of_row)
    if found is None:
        return None
    question = found.question(written)
    if question is None:
        untranslated(found.code, written)
        return None
    return found, question


def all_of(language: str | None, written: Sequence[str], labels: Sequence[str]) -> Iterator[str]:
    """All that an option may make of questions and labels: what a hash of them needs."""
    for found in _of(language):
        yield from (found.question(each) or "" for each in written)
        yield " ".join([found.code, *found.labels(labels)])


def words_of(language: str | None, labels: Sequence[str]) -> Iterator[str]:
    """The classes of a task in each language that an option may choose."""
    for found in _of(language):
        yield from found.labels(labels)


def _of(language: str | None) -> list[Language]:
    wanted = [] if language is None else codes() if language == ROW else [language]
    return [found for found in map(read, wanted) if found is not None]


@lru_cache(maxsize=16)
def read(code: str) -> Language | None:
    """A language by its code; None for English, and what has no translations."""
    table = _table().get(code)
    if table is None:
        return None
    words: dict[str, tuple[str, ...]] = {}
    for names, given in table["words"].items():
        said = tuple(dict.fromkeys(_inflected(given, table["endings"])))
        words |= {name.strip(): said for name in names.split("|")}
    return Language(code, table["questions"], table["names"], words)


def _inflected(words: Sequence[str], endings: Sequence[str]) -> Iterator[str]:
    yield from words
    for word in words:
        if word.islower():  # in German no noun
            yield from (word + ending for ending in endings)


# What a field of a phrasing may hold: no article, or any question "What is the …?" would be one.
_FILLED = {"name": r"(?:(?!\b(?:an?|the)\b)[\w ,-])+", "low": r"[-+.e\d]+", "high": r"[-+.e\d]+"}


@lru_cache(maxsize=16)
def _forms(code: str) -> list[tuple[str, re.Pattern[str]]]:
    """Each phrasing that names something, as a pattern of what is made of it."""
    found = []
    for phrasing in _table()[code]["questions"]:
        parts = [*Formatter().parse(phrasing)]
        if any(name for _, name, _, _ in parts):
            form = "".join(
                re.escape(text) + (f"(?P<{name}>{_FILLED.get(name, '.+?')})" if name else "")
                for text, name, _, _ in parts
            )
            found.append((phrasing, re.compile(form, re.DOTALL)))
    return found


@lru_cache(maxsize=256)
def untranslated(code: str, question: str) -> None:
    """Says once that a question has no translation."""
    _said(f"no translation into {code}, so it is asked as it is written: {question!r}")


@lru_cache(maxsize=256)
def _said(message: str) -> None:
    LOGGER.warning("%s", message)


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, Any]]:
    import yaml

    text = files("affect_mllm.data").joinpath("languages.yaml").read_text("utf-8")
    return yaml.safe_load(text)
