"""How publishers' scorers read an answer, faults included; used only by `compat=official`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from affect_mllm.eval.read import joint
from affect_mllm.eval.read.base import Extraction, Space

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)


def affectgpt_list(response: str, space: Space) -> Extraction:
    """AffectGPT's `string_to_list` (zeroQiaoba/AffectGPT@fffca79, `toolkit/utils`).

    Drops one leading and one trailing bracket and splits at quotes and commas: "can't wait" falls
    in two, and "and angry" keeps its "and".
    """
    text = response.strip()
    text = text.removeprefix("[").removesuffix("]")
    labels = [part.strip() for part in re.split(r"['\",]", text)]
    found = tuple(label for label in labels if label)
    return Extraction(found, "ok") if found else Extraction(None, "empty")


def affectgpt_sentiment(response: str, space: Space) -> Extraction:
    """Anything but "positive" is not above zero, so it counts as negative (same source).

    A neutral answer and one that cannot be read therefore score as "negative".
    """
    return Extraction("positive" if response.strip().lower() == "positive" else "negative", "ok")


def exact_lower(response: str, space: Space) -> Extraction:
    """EmoBench-M (Emo-gml/EmoBench-M@8916147): the whole answer in lower case; "" is dropped."""
    text = response.strip().lower()
    if not text:
        return Extraction(None, "empty")
    known = {label.lower(): label for label in space.labels}
    if text in known:
        return Extraction(known[text], "ok")
    return Extraction(None, "out_of_vocabulary")


def first_substring_in_answer(response: str, space: Space) -> Extraction:
    """VECBench per task (wdqqdw/EmoCaliber@a520291): the first label, in the list's order, that is
    a substring of the `<answer>` text, or of the whole response without a tag."""
    tagged = _ANSWER.search(response)
    return first_substring(tagged[1] if tagged else response, space)


def first_substring(response: str, space: Space) -> Extraction:
    """The same on the whole response, as VECBench's overall score reads it: tags are ignored."""
    text = response.lower()
    found = next((label for label in space.labels if label.lower() in text), None)
    return Extraction(found, "ok" if found is not None else "out_of_vocabulary")


def first_of_each(response: str, space: Space) -> Extraction:
    """EmoBench-M, MC-EIU (Emo-gml/EmoBench-M@6247d0d `MC-EIU.py`): of the emotions and of the
    intents the first one, in the list's order, that is a substring; without both it is dropped.
    """
    text = response.lower()
    found = [next((x for x in each if x in text), None) for each in joint.sides(space.labels)]
    if None in found:
        return Extraction(None, "empty")
    return Extraction(joint.SEPARATOR.join(map(str, found)), "ok")


def mer_prefer(response: str, space: Space) -> Extraction:
    """MER2026 track 3 (zeroQiaoba/MERTools@1052cb8): the first of "a1", "a2" and "same" counts.

    Two classes: "same", and an answer with none of them, are the first description's.
    """
    text = response.lower()
    places = {text.find(word): word for word in ("a1", "a2", "same") if word in text}
    second = bool(places) and places[min(places)] == "a2"
    return Extraction(space.labels[second], "ok")


def any_number(response: str, space: Space) -> Extraction:
    """A bare number, in or outside the scale (thuiar/MMSA@a94e65d clips it while scoring)."""
    try:
        value = float(response.strip())
    except ValueError:
        return Extraction(None, "out_of_vocabulary" if response.strip() else "empty")
    return (
        Extraction(value, "ok") if math.isfinite(value) else Extraction(None, "out_of_vocabulary")
    )


def strip_reasoning(text: str, tags: Sequence[tuple[str, str]]) -> str:
    """lmms-eval's `strip_reasoning_tags` (EvolvingLMMs-Lab/lmms-eval@75571cf, `api/reasoning`).

    Each pair's blocks go, from its opening to the next closing tag, then what stands before a
    closing tag without an opening one. A trace that was never closed stays.
    """
    for opening, closing in tags:
        text = re.sub(f"{re.escape(opening)}.*?{re.escape(closing)}", "", text, flags=re.DOTALL)
        text = text.rpartition(closing)[2]
    return text.strip()
