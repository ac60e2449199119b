"""Answers in JSON, fenced or not, as lines of text."""

from __future__ import annotations

import json
import re
from typing import Any

# Keys that hold the answer, the likeliest first; what a key says besides is no answer.
KEYS = (
    "final_answer", "answer", "prediction", "predicted_label", "predicted_emotion", "label",
    "labels", "predicted_labels", "predicted_emotions", "emotion", "emotions", "emotion_label",
    "dominant_emotion", "primary_emotion", "main_emotion", "emotional_state", "emotional_states",
    "sentiment", "polarity", "feeling", "feelings", "choice", "option", "selected_option", "letter",
    "score", "rating", "value", "intensity", "valence", "arousal", "dominance", "sentiment_score",
    "class", "category", "result", "output", "response", "verdict", "judgment", "is_correct",
    "correct", "preference", "preferred", "better", "winner", "情绪", "情感",
    "答案", "标签", "distribution",
)  # fmt: skip
_RANK = {key: place for place, key in enumerate(KEYS)}
_BESIDE = re.compile(
    r"reason|explanation|rationale|confidence|thought|analysis|evidence|^not$|description"
)
_FENCE = re.compile(r"```[a-zA-Z]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_LONGEST = 20_000


def json_text(text: str, *, whole: bool = False) -> str | None:
    """The answer that a JSON value in `text` holds, one line an item; None without such a value.

    With `whole` an object is given as lines "key: value".
    """
    if "```" in text:
        inner = [each.strip() for each in _FENCE.findall(text) if each.strip()]
        if inner:
            found = json_text(inner[-1], whole=whole) if "```" not in inner[-1] else None
            return inner[-1] if found is None else found
    stripped = text.strip()
    if stripped[:1] == "[":
        value = _parsed(stripped)
        return _lines(value, whole=whole) if isinstance(value, list) else None
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        for candidate in (text[start : end + 1], text[text.rfind("{", 0, end) : end + 1]):
            value = _parsed(candidate)
            if isinstance(value, dict) and value:
                return _lines(value, whole=whole)
    return None


def _parsed(text: str) -> Any:
    if len(text) > _LONGEST or text.count("[") + text.count("{") > 200:
        return None
    for attempt in (text, text.replace("'", '"').replace("True", "true").replace("False", "false")):
        try:
            return json.loads(attempt)
        except (ValueError, RecursionError):
            continue
    return None


def _lines(value: Any, *, whole: bool) -> str:
    if isinstance(value, dict):
        return _object(value, whole=whole)
    if isinstance(value, list):
        return "\n".join(_lines(item, whole=False) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _object(value: dict[str, Any], *, whole: bool) -> str:
    known = {key.lower().replace(" ", "_").replace("-", "_"): key for key in value}
    if not whole:
        ranked = sorted((key for key in known if key in _RANK), key=_RANK.__getitem__)
        if ranked:
            return _lines(value[known[ranked[0]]], whole=False)
        if len(value) == 1 and not isinstance(next(iter(value.values())), bool | int | float):
            return _lines(next(iter(value.values())), whole=False)
    rows = (
        f"{key}: {_lines(each, whole=whole)}"
        for name, key in known.items()
        for each in [value[key]]
        if not _BESIDE.search(name)
    )
    return "\n".join(rows)
