"""From a free answer to a label: named, versioned policies that never see the truth.

A policy is a function `(response, labels) -> Extraction`, listed in POLICIES under a name that
carries its version. A published policy is never changed; a better one gets a new version.

closed_label_v1
    Lower-cases (Unicode NFKC), then looks for whole words. A label is found as itself or in one
    of the word forms of WORD_FORMS, unless two labels of the task share a family (then only as
    itself). A mention after a negation in the same clause ("not angry", "neither sad nor happy",
    at most four words between) is no answer, nor is one in a clause that declines to answer.
    One label left: ok. Several: ambiguous, none is chosen. None: empty (no letters or digits),
    refused (the answer declines), else out_of_vocabulary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from affect_mllm.types import ConfigError

Status = Literal["ok", "ambiguous", "refused", "empty", "out_of_vocabulary"]
STATUSES: tuple[Status, ...] = ("ok", "ambiguous", "refused", "empty", "out_of_vocabulary")


@dataclass(frozen=True)
class Extraction:
    """What a policy read: `label` is one of the task's labels, or None unless status is ok."""

    label: str | None
    status: Status


# Inflections and the everyday noun or adjective of the same emotion, our own list. "surprisingly"
# and "like" are left out: they qualify other words more often than they name an emotion.
WORD_FORMS: tuple[str, ...] = (
    "happy happiness happily happier joy joyful joyfully joyous",
    "sad sadness sadly sadder saddened sorrow sorrowful",
    "angry anger angered angrily angrier",
    "surprise surprised surprises surprising astonished astonishment",
    "fear fearful fearfully feared afraid scared frightened",
    "disgust disgusted disgusting disgustedly",
    "neutral neutrally neutrality",
    "contempt contemptuous contemptuously",
    "anxious anxiety anxiously",
    "excited excitement excitedly",
    "frustrated frustration",
    "disappointed disappointment",
    "helpless helplessness",
)

_NEGATION = re.compile(
    r"\b(?:not(?! only\b)|never|no(?! doubt\b)|nor|neither|none|without(?! doubt\b)|hardly|cannot"
    r"|rather than|instead of|(?:is|are|was|were|do|does|did|ca|could|would|wo|should)n'?t)\b"
)
_REFUSAL = re.compile(
    r"\b(?:i'?m sorry|i am sorry|i apologi[sz]e|as an ai|unable to|not able to|not sure"
    r"|(?:can ?not|can'?t|could not|couldn'?t|do not|don'?t|impossible to|hard to) "
    r"(?:reliably |really |possibly )?(?:determine|tell|say|identify|know|answer|assist|help|see"
    r"|hear|access|view|judge|provide))\b"
)
# "or" and "nor" go on with a negation ("not angry or sad"); these end it.
_CLAUSE = re.compile(r"[.,;:!?\n()\[\]]|\b(?:but|however|though|although|yet|and|so|because)\b")
_WORDS_BETWEEN = 4


def extract(response: str, labels: Sequence[str], policy: str = "closed_label_v1") -> Extraction:
    """What `policy` reads in `response`; ConfigError for a policy that does not exist."""
    if policy not in POLICIES:
        raise ConfigError("extraction", repr(policy), expected=f"one of {sorted(POLICIES)}")
    return POLICIES[policy](response, tuple(labels))


def from_labels(given: Sequence[str], labels: Sequence[str]) -> Extraction:
    """Status of labels that were extracted elsewhere: the same rules, without any reading."""
    known = {_normal(label): label for label in labels}
    wanted = {_normal(label) for label in given}
    if not wanted:
        return Extraction(None, "empty")
    if not wanted <= known.keys():
        return Extraction(None, "out_of_vocabulary")
    if len(wanted) > 1:
        return Extraction(None, "ambiguous")
    return Extraction(known[wanted.pop()], "ok")


def closed_label_v1(response: str, labels: tuple[str, ...]) -> Extraction:
    """The policy described at the head of this file."""
    text = _normal(response)
    if not any(character.isalnum() for character in text):
        return Extraction(None, "empty")
    pattern, forms = _vocabulary(labels)
    found = {
        forms[_spaces(match[0])]
        for match in pattern.finditer(text)
        if not _discarded(text, match.start())
    }
    if len(found) == 1:
        return Extraction(found.pop(), "ok")
    if found:
        return Extraction(None, "ambiguous")
    return Extraction(None, "refused" if _REFUSAL.search(text) else "out_of_vocabulary")


POLICIES: dict[str, Callable[[str, tuple[str, ...]], Extraction]] = {
    "closed_label_v1": closed_label_v1,
}


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("’", "'").casefold().strip()


def _spaces(text: str) -> str:
    return " ".join(text.split())


@lru_cache(maxsize=64)
def _vocabulary(labels: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern of every accepted word form, longest first, and the label that each means."""
    exact = {_spaces(_normal(label)): label for label in labels}
    forms = dict(exact)
    for family in (line.split() for line in WORD_FORMS):
        members = [label for key, label in exact.items() if key in family]
        if len(members) == 1:
            forms |= {form: members[0] for form in family if form not in exact}
    words = sorted(forms, key=lambda form: (-len(form), form))
    body = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in words)
    return re.compile(rf"(?<!\w)(?:{body})(?!\w)"), forms


def _discarded(text: str, start: int) -> bool:
    """Whether the mention at `start` is negated, or stands in a clause that declines."""
    ends = [match.end() for match in _CLAUSE.finditer(text, 0, start)]
    clause = text[ends[-1] if ends else 0 : start]
    if _REFUSAL.search(clause):
        return True
    negations = list(_NEGATION.finditer(clause))
    if not negations:
        return False
    between = clause[negations[-1].end() :].split()
    # Each "or X" widens the reach by its own two words: "not angry or sad or afraid".
    return len(between) <= _WORDS_BETWEEN + 2 * sum(word in ("or", "nor") for word in between)
