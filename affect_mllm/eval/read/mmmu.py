"""MMMU's rules (MMMU-Benchmark/MMMU@bb0b95a `eval_utils.py`), but for its random draws.

Its policies are for `compat` alone; what it compares of an open answer is our metric's, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.toolkit_letters import told

Candidate = str | float
_TRIMMED = (",", ".", "!", "?", ";", ":", "'")
_WORDS = 5  # an option's text counts in longer answers alone
_CLUES = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)


def mmmu_official(response: str, space: Space) -> Extraction:
    """A letter where the row has options, the answer as it is where it has none.

    The last of the letters in brackets, else of those between spaces; else, in a longer answer, the
    option whose text occurs last. Without any the source draws one: nothing is read here.
    """
    if not space.options:
        return as_it_is(response, space)
    return told(_last_letter(response, space.options, ("({})",), (" {} ",)))


def lmms_mmmu(response: str, space: Space) -> Extraction:
    """The same in lmms-eval (75571cf): letters before a space or a period count, too."""
    if not space.options:
        return as_it_is(response, space)
    return told(_last_letter(response, space.options, ("({})",), ("{} ", " {} "), ("{}.", " {} ")))


def as_it_is(response: str, space: Space) -> Extraction:
    """The whole answer, nothing taken off."""
    return Extraction(response, "ok") if response else Extraction(None, "empty")


def _last_letter(response: str, options: Mapping[str, str], *forms: tuple[str, ...]) -> str | None:
    """By the first of `forms` that occurs: how a letter is found, and how its place is."""
    text = response
    for mark in _TRIMMED:
        text = text.strip(mark)
    text = f" {text} "
    for form in forms:
        found = [letter for letter in options if form[0].format(letter) in text]
        if found:
            return max(found, key=lambda letter: text.rfind(form[-1].format(letter)))
    lowered = text.lower()
    quoted = [letter for letter, each in options.items() if str(each).lower() in lowered]
    if quoted and len(text.split()) > _WORDS:
        return max(quoted, key=lambda letter: lowered.rfind(str(options[letter]).lower()))
    return None


def normal(text: str) -> list[Candidate]:
    """A number with two decimals, else lower case; a single letter with a space at either side."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        lowered = text.lower()
        return [f" {lowered}", f"{lowered} "] if len(lowered) == 1 else [lowered]


def open_candidates(response: str) -> set[Candidate]:
    """What an open answer may say: the ends of its sentences, and each number in them."""
    parts = list(_ends(response.strip().strip(".").lower()))
    numbers = [each for part in parts for form in _NUMBERS for each in form.findall(part)]
    return {each for part in (*parts, *numbers) for each in normal(part)}


def _ends(text: str) -> Iterator[str]:
    """The shortest end of each line after a word that announces an answer, else the whole text.

    In the last line "=" announces one, too. The source splits at capitals, of which it has none.
    """
    lines = text.split("\n")
    found = []
    for number, line in enumerate(lines, start=1):
        clues = (*_CLUES, "=") if number == len(lines) else _CLUES
        shortest = ""
        for clue in clues:
            end = line.split(clue)[-1].strip()
            if clue in line and (not shortest or len(end) < len(shortest)):
                shortest = end
        if shortest and shortest not in _TRIMMED:
            found.append(shortest)
    yield from found or [text]


def says(response: str, answers: Sequence[str]) -> bool:
    """Whether an open answer says one of the true ones: equal numbers, or a text that is a part."""
    wanted = [each for answer in answers for each in normal(answer)]
    words = [each for each in wanted if isinstance(each, str)]
    return any(
        any(word in said for word in words) if isinstance(said, str) else said in wanted
        for said in open_candidates(response)
    )
