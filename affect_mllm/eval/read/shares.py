"""Distributions over a task's labels, as shares that add up to 1.

shares_v3
    Reads a number for each label, with or without a per cent sign, before it or behind it ("joy
    60", "60 % joy", "joy: about 60", "60 for joy"), item by item; in a table the numbers of a row
    below the labels. Labels are found like those of closed_label_v4, also where they are denied.
    What has no number has no share; the numbers are divided by their sum. "The rest" of one label
    is what lacks to 1 or 100; of several it is ambiguous. Two different numbers for one label, such
    as a range, are ambiguous. None, zeros alone, or one below zero: empty,
    refused or out_of_vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.conclusion import conclusions
from affect_mllm.eval.read.mentions import declines
from affect_mllm.eval.read.normal import folded, is_blank
from affect_mllm.eval.read.tokens import tokens_of
from affect_mllm.eval.read.vocabulary import vocabulary

_ENDS = frozenset([";", "\n", ",", "|\n", "and", "&", "、", "和", "与", "."])
REST = float("inf")  # stands for what is left
_REST = frozenset(["rest", "remaining", "remainder", "其余", "剩下"])
_OF_WHOLE = frozenset(["viewers", "people", "persons", "percent:", "total", "points"])
_TOTALS = frozenset(["total", "sum", "totals", "sums"])
_COUNTED = frozenset(["the", "these", "those"])  # "in the 2 photos"
Event = tuple[str, str | float]  # ("label", name), ("number", value) or ("end", sign)


def shares_v3(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    conclusion = next(conclusions(response, space, whole_json=True))
    text = folded(conclusion.text)
    if is_blank(text):
        return Extraction(None, "empty")
    found: dict[str, set[float]] = {}
    events = _events(text, space)
    for label, number in _pairs(events):
        found.setdefault(label, set()).add(number)
    shared_rest = ("number", REST) in events and len(found) < len(
        {name for kind, name in events if kind == "label"}
    )
    if shared_rest or any(len(numbers) > 1 for numbers in found.values()):
        return Extraction(None, "ambiguous")
    numbers = _with_rest({label: each.pop() for label, each in found.items()})
    shares = None if any(n < 0 for n in numbers.values()) else normalised(numbers, space.labels)
    if shares is None:
        return Extraction(None, "refused" if declines(text) else "out_of_vocabulary")
    return Extraction(shares, "ok")


def _with_rest(numbers: dict[str, float]) -> dict[str, float]:
    """The numbers, with what lacks to 1 or 100 for the one label that has the rest."""
    given = sum(number for number in numbers.values() if number != REST)
    whole = 1.0 if given <= 1 else 100.0
    return {k: max(0.0, whole - given) if n == REST else n for k, n in numbers.items()}


def normalised(numbers: Mapping[str, float], labels: Sequence[str]) -> dict[str, float] | None:
    """Each label's share of the sum of `numbers`; None where that is not above 0 or not finite."""
    total = sum(numbers.values())
    if not 0 < total < float("inf"):
        return None
    return {label: numbers.get(label, 0.0) / total for label in labels}


def _events(text: str, space: Space) -> list[Event]:
    """Labels, numbers and ends of items, in the order of the text."""
    tokens = tokens_of(text)
    phrases = vocabulary(space.labels, space.aliases).phrases
    events: list[Event] = []
    after = 0
    for start, token in enumerate(tokens):
        if start < after:
            continue
        after, form = phrases.at(tokens, start)
        if form is not None:
            events.append(("label", form.label))
        elif token in _REST:
            events.append(("number", REST))
        elif token[0].isdecimal():
            if not _is_whole(tokens, start):
                events.append(("number", _number(tokens, start)))
        elif token in _ENDS and not (
            token == "." and start + 1 < len(tokens) and tokens[start + 1][0].isdecimal()
        ):
            events.append(("end", token))
    return events


def _number(tokens: Sequence[str], start: int) -> float:
    before = tokens[start - 1] if start else ""
    digits = tokens[start].replace(",", "") if "." not in tokens[start] else tokens[start]
    parts = digits.replace(",", ".").split(".")
    value = float(parts[0] if len(parts) == 1 else f"{parts[0]}.{''.join(parts[1:])}")
    if before == "." and (start < 2 or not tokens[start - 2][0].isdecimal()):
        value = float(f"0.{parts[0]}")
    negative = before in "-−–" and start > 1 and tokens[start - 2] in ":=(|"
    return -value if before and negative else value


def _is_whole(tokens: Sequence[str], start: int) -> bool:
    """Whether a number says how many there are in all, or numbers an item of a list."""
    after = tokens[start + 1] if start + 1 < len(tokens) else ""
    before = tokens[start - 1] if start else "\n"
    of_all = before == "/" or (before == "of" and start > 1 and tokens[start - 2] == "out")
    item = (
        before == "\n" and after in (".", ")") and tokens[start + 2 : start + 3] not in ([], ["\n"])
    )
    given = tokens[start + 2 : start + 3] in (["to"], ["for"])  # "100 points to joy"
    whole = tokens[start] == "100" and after in _OF_WHOLE and not given
    total = not _TOTALS.isdisjoint(tokens[max(0, start - 2) : start])
    return of_all or item or whole or total or before in _COUNTED


def _pairs(events: Sequence[Event]) -> list[tuple[str, float]]:
    """Each label with its number, item by item; without items by the order of the first two."""
    items = _items(events)
    known = [item for item in items if item]
    single = [_pair(item) for item in known]
    numbered = [item for item in known if any(kind == "number" for kind, _ in item)]
    if any(single) and all(_pair(item) for item in numbered):
        return [pair for pair in single if pair]
    flat = [event for event in events if event[0] != "end"]
    kinds = [kind for kind, _ in flat]
    half = len(kinds) // 2
    if half and kinds == ["label"] * half + ["number"] * half:
        return [_as_pair(a, b) for a, b in zip(flat[:half], flat[half:], strict=True)]
    ranges = [(str(item[0][1]), float(n)) for item in known if _is_range(item) for _, n in item[1:]]
    if ranges:
        return [*ranges, *(pair for pair in single if pair)]
    forward = kinds[:1] == ["label"]
    first, second = ("label", "number") if forward else ("number", "label")
    return [_as_pair(a, b) for a, b in pairwise(flat) if (a[0], b[0]) == (first, second)]


def _items(events: Sequence[Event]) -> list[list[Event]]:
    items: list[list[Event]] = [[]]
    for event in events:
        if event[0] == "end":
            items.append([])
        else:
            items[-1].append(event)
    return items


def _pair(item: Sequence[Event]) -> tuple[str, float] | None:
    kinds = {kind for kind, _ in item}
    return _as_pair(*item) if len(item) == 2 and kinds == {"label", "number"} else None


def _as_pair(one: Event, other: Event) -> tuple[str, float]:
    label, number = (one, other) if one[0] == "label" else (other, one)
    return str(label[1]), float(number[1])


def _is_range(item: Sequence[Event]) -> bool:
    return len(item) == 3 and [kind for kind, _ in item] == ["label", "number", "number"]
