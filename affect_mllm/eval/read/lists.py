"""Open vocabulary: a list of free labels, and the polarity that labels amount to.

label_list_v1
    Reads the `<answer>` tag, or what follows a reasoning trace. A JSON list, or a list in brackets,
    lines or commas, after a lead-in ("The person feels …") or none, is taken item by item if no
    item is longer than four words (two between mere commas) or a phrase of our word list; "not …"
    items and adverbs ("extremely angry") are left out. Any other text is searched for the
    words of our emotion-wheel list (everyday words such as "down" excepted), and a mention that is
    negated or stands in a clause that declines does not count. None left: empty (also for "[]"),
    refused, or out_of_vocabulary.
polarity_v1
    "positive", "negative" or "neutral" where the answer says so (as closed_label_v2 does). Else
    the labels of label_list_v1 vote by the polarity of their sense: both signs are ambiguous, no
    sign at all is neutral, and no known word is out_of_vocabulary.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

from affect_mllm.eval.emotion_wheel import own
from affect_mllm.eval.read import closed
from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.text import (
    CJK,
    declines,
    final_answer,
    is_blank,
    mentions,
    normal,
    spaces,
    words_pattern,
)

POLES = ("negative", "neutral", "positive")
_ITEM_WORDS = 4  # of an item between brackets or on a line of its own
_BARE_WORDS = 2  # of one between commas
_ITEM_CHARACTERS = 4  # of Chinese
_SEPARATOR = re.compile(r"[,;/\n、]|\band\b|&|以及|和|与")
_BULLET = re.compile(r"^\s*(?:[-*•·]|\(?\d+[.)])\s*")
_LEAD = re.compile(
    r"^(?:[^.]*\b(?:is|are|feels?|feeling|seems?|appears?|looks?|sounds?|include|expresses|shows?"
    r"|states?|emotions?|labels?)\b(?: to be| like)?\s*:?"
    r"|[^。]*(?:情绪|感到|情感)[^:]*?(?:是|为|:))\s*"
)
_FILLER = re.compile(r"^(?:and|or|also|a bit|a little|a|an|the|very|quite|slightly|somewhat)\s+")
_NOT = re.compile(r"^(?:not|no|never|neither|nor|without|不|没有?)\b")


def label_list_v1(response: str, space: Space) -> Extraction:
    """The first policy described at the head of this file; `space` has no influence."""
    text = normal(final_answer(response))
    if is_blank(text):
        return Extraction(None, "empty")
    labels = None if declines(text) else _listed(text)
    labels = _mentioned(text) if labels is None else labels
    if labels:
        return Extraction(tuple(dict.fromkeys(labels)), "ok")
    return Extraction(None, "refused" if declines(text) else "out_of_vocabulary")


def polarity_v1(response: str, space: Space) -> Extraction:
    """The second policy described at the head of this file."""
    stated = closed.closed_label_v2(response, Space(labels=POLES))
    if stated.status == "ambiguous" or (stated.status == "ok" and _says_pole(response)):
        return stated
    found = label_list_v1(response, space)
    return polarity_of(found.value) if isinstance(found.value, tuple) else found


def polarity_of(labels: tuple[str, ...]) -> Extraction:
    """The vote of labels, which may name a pole themselves."""
    poles = {pole for label in labels if (pole := _pole(label)) is not None}
    if not poles:
        return Extraction(None, "out_of_vocabulary" if labels else "empty")
    signed = poles - {"neutral"}
    if len(signed) == 2:
        return Extraction(None, "ambiguous")
    return Extraction(signed.pop() if signed else "neutral", "ok")


def _pole(label: str) -> str | None:
    key = own.normal(label)
    if key in POLES:
        return key
    known = own.look_up(key)
    return (
        None
        if known is None
        else {"+": "positive", "-": "negative", "0": "neutral"}[known[1].polarity]
    )


def _says_pole(response: str) -> bool:
    """Whether the answer has a word for a pole itself, not one for a neutral emotion."""
    pattern, _ = closed.vocabulary(POLES[::2])
    text = normal(final_answer(response))
    return bool(pattern.search(text)) or "neutral" in text or "中性" in text


def _listed(text: str) -> list[str] | None:
    """The items of a text that is a list; None if it is not one."""
    inner = text.strip(" .。!")
    marked = inner.startswith("[") and inner.endswith("]")
    if marked:
        inner = _json_items(inner)
    elif "\n" not in inner:
        inner = _LEAD.sub("", inner, count=1)
    items = [_item(part) for part in _SEPARATOR.split(inner)]
    items = [item for item in items if not is_blank(item)]
    longest = _ITEM_WORDS if marked or "\n" in inner else _BARE_WORDS
    if any(_is_prose(item, longest) for item in items):
        return None
    if len(items) == 1 and own.look_up(items[0]) is None and len(items[0].split()) > 1:
        return None
    return [item for item in items if not _NOT.match(item)]


def _is_prose(item: str, longest: int) -> bool:
    """Whether an item is no label: too long, and not a phrase of the word list."""
    if own.look_up(item) is not None:
        return False
    characters = _ITEM_CHARACTERS if CJK.search(item) else 80
    stops = re.search(r"[.!?:。]", item) is not None
    return len(item.split()) > longest or len(item) > characters or stops


def _json_items(text: str) -> str:
    try:
        return ",".join(str(item) for item in json.loads(text))
    except ValueError:
        return text[1:-1]


def _item(part: str) -> str:
    part = _BULLET.sub("", part).strip(" .'\"“”‘’()[]*。")
    while (shorter := _FILLER.sub("", part)) != part:
        part = shorter
    first, _, rest = part.partition(" ")
    if first.endswith("ly") and own.look_up(spaces(rest)) is not None:
        return spaces(rest)  # "extremely angry"
    return spaces(part)


def _mentioned(text: str) -> list[str]:
    return list(mentions(text, _words()))


@lru_cache(maxsize=1)
def _words() -> re.Pattern[str]:
    return words_pattern([form for form in own.forms() if form not in own.everyday()])
