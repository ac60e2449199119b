"""Closed label lists: one label of the task's, or several where the task allows them.

closed_label_v4
    Reads what the answer comes to (`conclusion.py`) and takes the labels that it says
    (`mentions.py`), in any of their forms (`vocabulary.py`). One label: ok. Several: ambiguous,
    none is chosen. None: empty (no letters or digits), refused (the answer declines), else
    out_of_vocabulary. After a mark such as "answer:" the first sentence decides, if it says
    anything. (Version 2 knew no marks, ended a negation at each comma, and took politeness and
    everyday words for emotions.)
multi_label_v3
    The same, but the answer is all labels that are said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from affect_mllm.eval.read.base import Extraction, Space, one_of
from affect_mllm.eval.read.conclusion import Conclusion, conclusions
from affect_mllm.eval.read.mentions import said_in
from affect_mllm.eval.read.normal import folded, spaces, unified
from affect_mllm.eval.read.said import Said
from affect_mllm.eval.read.vocabulary import vocabulary

# A line such as "**Emotion:** joy": the first group says which of several it is.
_KEY_LINE = re.compile(
    r"^[\W_]*((?:(?!not|no\b|second)[a-z]+\s){0,3})(?:emotions?|sentiment|label|feeling|category|class|polarity|level"
    r"|情绪|情感|标签|类别)(?:\s(?:label|class|category))?[\W_]*[:=][\W_]*(\w.*)$",
    re.MULTILINE,
)
_WORD = re.compile(r"[^\W\d_]{2}|[㐀-鿿]")  # a letter alone is an option's
_MAIN = re.compile(r"primary|main|dominant|overall|final|predicted|most")


def from_labels(given: Sequence[str], space: Space) -> Extraction:
    """Status of labels that were extracted elsewhere: the same rules, without any reading."""
    found = several_from_labels(given, space)
    return one_of({*found.value}) if isinstance(found.value, tuple) else found


def several_from_labels(given: Sequence[str], space: Space) -> Extraction:
    """The same where an answer may have several labels."""
    known = {_key(name): label for name, label in space.aliases}
    known |= {_key(label): label for label in space.labels}
    wanted = {_key(label) for label in given}
    if not wanted:
        return Extraction(None, "empty")
    if not wanted <= known.keys():
        return Extraction(None, "out_of_vocabulary")
    labels = {known[key] for key in wanted}
    return Extraction(tuple(label for label in space.labels if label in labels), "ok")


def closed_label_v4(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    found = _read(response, space)
    return found if isinstance(found, Extraction) else one_of({*found})


def multi_label_v3(response: str, space: Space) -> Extraction:
    """All labels that closed_label_v4 would find, in the task's order."""
    found = _read(response, space, several=True)
    if isinstance(found, Extraction):
        return found
    return Extraction(tuple(label for label in space.labels if label in found), "ok")


def _read(response: str, space: Space, *, several: bool = False) -> dict[str, None] | Extraction:
    known = vocabulary(space.labels, space.aliases)
    first: Said | None = None
    for conclusion in conclusions(response, space):
        for part in _parts(conclusion, several=several):
            said = said_in(folded(part), known, space.language)
            if said.labels:
                return said.labels
            if first is None or not (first.refused or first.denied):
                first = said
            if not said.denied:
                break
        if (
            first is not None
            and not first.denied
            and conclusion.explicit
            and not _refers(conclusion)
        ):
            break
    return nothing_said(first)


def nothing_said(said: Said | None) -> Extraction:
    """Why there is no answer in a text that says no label."""
    if said is None or not any(token[0].isalnum() for token in said.tokens):
        return Extraction(None, "empty")
    return Extraction(None, "refused" if said.refused else "out_of_vocabulary")


def _parts(conclusion: Conclusion, *, several: bool) -> Iterator[str]:
    """What of a conclusion is read, the narrowest first."""
    text = conclusion.text
    if conclusion.explicit and not conclusion.hard and not several:
        yield from (part for part in conclusion.parts if _WORD.search(part))
    elif not several and ("\n" in text or ":" in text):
        yield key_lines(text) or text
    else:
        yield text


def key_lines(text: str) -> str:
    """What lines like "Emotion: joy" say, those of the main emotion if there are such; else ""."""
    found = _KEY_LINE.findall(folded(text)) if "\n" in text else []
    main = [said for which, said in found if _MAIN.search(which)]
    return "\n".join(main or [said for _, said in found])


def _refers(conclusion: Conclusion) -> bool:
    """Whether a mark only introduces where the answer comes from ("the answer is based on")."""
    return (
        conclusion.text[:40].lower().startswith(("based", "given", "because", "as follows", "in "))
    )


def _key(label: str) -> str:
    return spaces(folded(unified(label)))
