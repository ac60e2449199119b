"""Open vocabulary: a list of free labels.

label_list_v3
    Reads what the answer comes to. A JSON list, or a list in brackets, lines or commas, after a
    lead-in ("The person feels …", "Emotions: …") or none, is taken item by item if no item is
    prose: longer than four words, or with a pronoun, a verb of being and the like. What an item
    says besides (brackets, percentages, "because …", "a bit", "extremely") and "not …" items are
    left out; "none", "unknown", "N/A", single letters, words such as "person" are no labels.
    After a lead-in that is a sentence at least one item must be known. Any other text is searched
    for the words of our emotion list, as `mentions.py` says. None left: empty
    (also for "[]"), refused, or out_of_vocabulary. Words of another language that a row is asked in
    (the space's aliases) are read as the English ones that they stand for.
"""

from __future__ import annotations

import re
from functools import lru_cache

from affect_mllm.eval.emotion_wheel import own
from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.conclusion import Conclusion, conclusions
from affect_mllm.eval.read.mentions import said_with
from affect_mllm.eval.read.normal import CJK, folded, is_blank, spaces, word_set
from affect_mllm.eval.read.vocabulary import free_words

_ITEM_WORDS, _ITEM_CHARACTERS, _ITEM_LETTERS = 4, 4, 60
_PROSE_LETTERS = 120
_SEPARATOR = re.compile(
    r"[,;\n、|]|\s+\(?\d+[.)]\s+|\s*/\s*|\s(?:and|&|plus|or|as well as)\s"
    r"|\s(?:mixed |tinged |tempered )?with\s(?=(?:an?|some|slight)\s(?:\w+\s)?"
    r"(?:touch|hint|tinge|trace|bit|undertone)\sof\s)|&|以及|和|与"
)
_BULLET = re.compile(r"^\s*(?:[-*•·+‣◦]\s+|\(?\d+\s*[.):]\s*|[-•·](?=\w))")
_KEY = re.compile(
    r"^[\W_]*(?:(?:the|my|his|her|their|primary|secondary|main|other|dominant|overall|final"
    r"|predicted|detected"
    r"|possible|identified|expressed|following|person's)\s+)*"
    r"(?:emotions?|emotional states?|feelings?|labels?|states?|sentiments?|answers?|moods?|情绪"
    r"|情感|标签|答案|心情)"
    r"(?:\s*(?:labels?|words?|states?|\d+|list|are|is|detected|shown|expressed"
    r"|include))*[\W_]*[:=]\s*"
)
_LEAD = re.compile(
    r"^(?:[^,;:\n]{0,90}?\b)?(?:is|are|feels?|feeling|seems?|appears?|looks?|sounds?"
    r"|express(?:es|ing)|shows?|showing"
    r"|includ(?:e|es|ing)|exhibits?|exhibiting|displays?|displaying|convey(?:s|ing)?"
    r"|experienc(?:es|ing|e)|reflects?)\b"
    r"(?:\s+(?:to|be|like|both|feeling|as|being|mainly|primarily|mostly|likely|in"
    r"|a state of)\b)*\s*:?\s*"
)
_LEAD_ZH = re.compile(
    r"^[^,。;]{0,40}?(?:(?:情绪|情感|心情|感觉|状态|情绪状态)[^,。:]{0,8}?(?:是|为|:|有|包括)"
    r"|感到|觉得|表现出|显得|感觉到)了?"
)
_PHRASE = re.compile(
    r"^(?:(?:and|or|with|also|then|but|only|just|mostly|mainly|a bit|a little|a lot of|a|an|the"
    r"|very|quite|slightly|somewhat|rather"
    r"|really|so|more|some|both|feeling|feels?|possibly|perhaps|maybe|probably|likely|strong"
    r"|mild|clear"
    r"|(?:emotions?|feelings?|signs?|expressions?|hints?|elements?|traces?"
    r"|touch|tinge|bit|undertones?) of|(?:mix|mixture"
    r"|combination|blend) of"
    r"|有点|一点|非常|十分|有些|略带|很|一些)\s+|(?:有点|有些|非常|十分|略带))"
)
_CUT = re.compile(
    r"\s*(?:\(|\[|:|\s[-–—]+\s|—|=|\b(?:because|since|due to|as (?:he|she|they|indicated|shown)"
    r"|which|with|from|at|about|towards?)\b|,).*$"
    r"|\s+\(?(?:~|about |around )?\d+(?:\.\d+)?\s*%?\)?$|[.!。]+$",
    re.DOTALL,
)
_REMARK = re.compile(r"(?<=[\w*])\s*\([^()\n]*\)")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")
_NOT = re.compile(
    r"^(?:not|no|never|nor|without|non)\b|^(?:不是|没有|不(?![安满耐屑悦快知解甘服]))"
)
# Words of another language in a list, as the English ones that the patterns here know.
_IN_ENGLISH = {
    "de": (
        (re.compile(r"\bund\b"), "and"),
        (re.compile(r"\boder\b"), "or"),
        (re.compile(r"\b(?:nicht|keine?[mnrs]?|ohne|weder)\b"), "not"),
        (re.compile(r"\b(?:auch|aber|nur|etwas|leicht|eher|sehr|ein bisschen)\b"), "very"),
        (re.compile(r"\bein wenig\b"), "very"),
    )
}
_PROSE = word_set("prose")
_PROSE_ZH = re.compile(r"[他她它我你的是在了着这那并而]")
_NO_LABELS = word_set("no labels")


def label_list_v3(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file; of `space` labels and scale count not."""
    first: Extraction | None = None
    for conclusion in conclusions(response, space):
        found = _read(conclusion, space)
        if found.value is not None or (conclusion.explicit and found.status == "refused"):
            return found
        first = first or found
        if conclusion.hard:
            break
    return first or Extraction(None, "empty")


def _read(conclusion: Conclusion, space: Space) -> Extraction:
    text = folded(conclusion.text).strip()
    if conclusion.explicit and not conclusion.hard:
        text = _paragraph(text)
    if is_blank(text):
        return Extraction(None, "empty")
    said = said_with(text, free_words(space.aliases), language=space.language)
    for words, english in _IN_ENGLISH.get(space.language, ()):
        text = words.sub(english, text)
    labels = None if said.refused else _listed(text, hard=conclusion.hard)
    if labels is None:
        labels = list(said.labels)
    if labels:
        names = {folded(word): label for word, label in space.aliases}
        return Extraction(tuple(dict.fromkeys(names.get(x, x) for x in labels)), "ok")
    return Extraction(None, "refused" if said.refused else "out_of_vocabulary")


def _paragraph(text: str) -> str:
    """The first paragraph of what follows a mark; with the next one after a colon."""
    first, _, rest = text.partition("\n\n")
    return first + "\n" + rest.partition("\n\n")[0] if first.rstrip().endswith(":") else first


def _listed(text: str, *, hard: bool) -> list[str] | None:
    """The items of a text that is a list; None if it is not one."""
    led = False
    lines = [line for line in text.split("\n") if not is_blank(line)]
    marked = [_BULLET.sub("", line) for line in lines if _BULLET.match(line)]
    if marked:
        parts = marked
    elif len(lines) > 1:
        parts = lines[1:] if lines[0].rstrip(" *").endswith(":") else lines
    elif len(text) > _PROSE_LETTERS and ". " in text:
        return None  # several sentences: no list, and no need to look at its items
    else:
        inner, led = _without_lead(text)
        parts = [inner]
    items: list[str] = []
    for part in (each for line in parts for each in _SEPARATOR.split(_head(line))):
        item = _item(part)
        if not is_blank(item):
            if _is_prose(item):
                return None
            items.append(item)
    known = [_known(item) for item in items]
    if led and not any(known):
        return None
    if len(items) == 1 and not known[0] and len(items[0].split()) > 1 and not (hard or marked):
        return None
    return [item for item in items if _is_label(item)]


def _without_lead(text: str) -> tuple[str, bool]:
    """The text behind its lead-in, and whether that was a sentence."""
    text = _KEY.sub("", text.strip(), count=1)
    inner = text.strip(" .。!\"'")
    if inner.startswith("[") and inner.endswith("]"):
        return inner[1:-1], False
    led = False
    for _ in range(4):
        match = _LEAD.match(inner) or _LEAD_ZH.match(inner)
        if match is None or match.end() >= len(inner):
            break
        inner, led = inner[match.end() :], True
    return inner, led


def _head(part: str) -> str:
    """A line without its key, and without what is said about each label in brackets."""
    part = _KEY.sub("", part, count=1)
    return _REMARK.sub("", part) if "(" in part else part


def _item(part: str) -> str:
    part = _trimmed(part)
    if _known(part):
        return part
    shorter = _trimmed(_CUT.sub("", part))
    part = shorter or part
    while not _known(part) and (shorter := _PHRASE.sub("", part)) != part:
        part = shorter
    first, _, rest = part.partition(" ")
    if first.endswith("ly") and rest and _known(rest):
        return spaces(rest)  # "extremely angry"
    return spaces(part)


def _trimmed(part: str) -> str:
    return spaces(_EDGES.sub("", part))


@lru_cache(maxsize=4096)
def _known(item: str) -> bool:
    return len(item) <= _ITEM_LETTERS and own.listed(item) is not None


def _is_prose(item: str) -> bool:
    """Whether an item is no label: too long, or with a word that labels do not have."""
    if _known(item):
        return False
    if CJK.search(item):
        return len(item) > _ITEM_CHARACTERS or _PROSE_ZH.search(item) is not None
    words = item.split()
    if _NOT.match(item):
        return len(words) > _ITEM_WORDS or not _PROSE.isdisjoint(words[1:])
    long = len(words) > _ITEM_WORDS or len(item) > _ITEM_LETTERS
    return (
        long
        or (len(words) > 1 and not _PROSE.isdisjoint(words))
        or re.search(r"[.!?:。]", item) is not None
    )


def _is_label(item: str) -> bool:
    if _known(item):
        return item not in _NO_LABELS
    return not (
        _NOT.match(item)
        or item in _NO_LABELS
        or (len(item) == 1 and item.isascii())
        or not re.search(r"[^\W\d_]", item)
    )
