"""One number on a scale.

number_v2
    The one number of what the answer comes to; after a mark such as "answer:" the first sentence
    decides. Signs may be words ("minus 2", 负2) or dashes; ".5", "1.5e0" and full-width digits are
    numbers, "two" alone is one. Mentions of the scale itself ("from -3 to 3", "1.5 out of 3",
    "2/3" on a scale that ends at 3), numbers of other things ("2 seconds", "frame 3", a list's own
    numbers), percentages beside a number, and negated ones are none. Several different ones, so a
    range too, are ambiguous; one outside the scale, or a percentage alone, is out_of_vocabulary.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.conclusion import conclusions
from affect_mllm.eval.read.mentions import declines
from affect_mllm.eval.read.normal import folded, is_blank

_MINUS = r"(?:minus\s+|negative\s+|负数?\s*|[-–]\s?)"
_PLUS = r"(?:plus\s+|positive\s+|\+\s?|正\s*)"
_PLAIN = r"(?:\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d{1,3})?"
_SIGNED = rf"(?:{_MINUS}|{_PLUS})?{_PLAIN}"
_NUMBER = re.compile(
    rf"(?<![a-z\d.])(?<![a-z\d]_)(?<!\d[,:])({_MINUS}|{_PLUS})?({_PLAIN})(?![a-z\d]|_\w|\.\d|:\d)"
)
_BELOW = re.compile(
    rf"\s*(?:/|(?:out )?of(?: a (?:possible|maximum(?: of)?))?"
    rf"|on a scale of)\s*({_SIGNED})(?![\w.]\d)"
)
_SCALE_END = re.compile(r"(?:out of|of|on a scale of|/)\s*$")
_RANGE_BEFORE = re.compile(r"[\d.]\s?$")
_UNITS = re.compile(
    r"\s*-?(?:seconds?|secs?|s\b|minutes?|years?|frames?|fps|people|persons?|times|clues?"
    r"|reasons?|speakers?"
    r"|words?|sentences?|hz|秒|帧|个人|人|岁|次|people|images?|pictures?|clips?|decimal"
    r"|digits?)\b"
)
_OTHER = re.compile(
    r"(?:frame|second|clip|video|image|speaker|person|step|question|confidence|probability"
    r"|certainty"
    r"|version|option|paragraph|item|part|scene|figure|±|置信度|第)\w{0,2}\s*(?:of|level|is"
    r"|score)?\s*[:=]?\s*#?$"
)
_COMMA = re.compile(r",\d")
_BECAUSE = re.compile(r"\b(?:because|since|due to|as (?:he|she|they|the|it))\b|因为|由于")
_PERCENT = re.compile(r"\s*(?:%|percent|per cent)")
_LIST_PLACE = re.compile(r"^\s*\d+[.)]\s+(?=\D)(?=.*\d)", re.MULTILINE | re.DOTALL)
_NEGATED = re.compile(
    r"(?:\bnot|n't|\bnever|rather than|instead of|不是|并非|而非)\s+(?:(?:a|an|the|quite|really"
    r"|exactly|as high as|as low as)\s+)*$|(?:不是|并非|而非)$"
)
_LIMIT = re.compile(
    r"\s*(?:is|=|being|\(|means|meaning|为|是)?\s*(?:the\s+)?(?:minimum|maximum|lowest|highest"
    r"|most (?:negative|positive)|least|最)"
)
_WORDS = {
    word: float(number)
    for number, words in enumerate(
        ("zero 零", "one 一", "two 二 两", "three 三", "four 四", "five 五", "six 六", "seven 七",
         "eight 八", "nine 九", "ten 十")
    )
    for word in words.split()
}  # fmt: skip
_LOOK_BACK = 40


def number_v2(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    first: Extraction | None = None
    for conclusion in conclusions(response, space):
        for part in conclusion.parts:
            found = _read(folded(part), space)
            if found.status in ("ok", "ambiguous"):
                return found
            first = first or found
        if conclusion.explicit and first is not None and first.status == "refused":
            break
    return first or Extraction(None, "empty")


def _read(text: str, space: Space) -> Extraction:
    if is_blank(text):
        return Extraction(None, "empty")
    scale = _scale(space.low, space.high)
    text = _LIST_PLACE.sub(" ", scale.sub(" ", text) if scale else text)
    found = _numbers(_BECAUSE.split(text, maxsplit=1)[0], space) or _numbers(text, space)
    if not found:
        found = _word(text)
    numbers = {value for value in found if not math.isnan(value)}
    if len(numbers) > 1:
        return Extraction(None, "ambiguous")
    if not numbers:
        refused = not found and declines(text)
        return Extraction(None, "refused" if refused else "out_of_vocabulary")
    value = numbers.pop()
    low = space.low if space.low is not None else value
    high = space.high if space.high is not None else value
    if not (low <= value <= high and math.isfinite(value)):
        return Extraction(None, "out_of_vocabulary")
    return Extraction(value, "ok")


def _numbers(text: str, space: Space) -> set[float]:
    return {value for match in _NUMBER.finditer(text) for value in _values(text, match, space)}


def _values(text: str, match: re.Match[str], space: Space) -> list[float]:
    """The number of one mention: [NaN] for another scale's, [] for one of something else."""
    before, after = text[max(0, match.start() - _LOOK_BACK) : match.start()], match.end()
    sign = match[1] or ""
    is_range = bool(sign.strip() in ("-", "–") and _RANGE_BEFORE.search(before))
    value = float(match[2])
    if sign and not is_range and not re.match(_PLUS, sign):
        value = -value
    if _SCALE_END.search(before) and not before.rstrip().endswith("score of"):
        is_end = re.search(rf"{_PLAIN}\s*(?:/|out of|of|on a scale of)\s*$", before) is not None
        if is_end or re.search(r"(?:out of|on a scale of)\s*$", before):
            return []
    if _UNITS.match(text, after) or _OTHER.search(before) or _NEGATED.search(before):
        return []
    if _LIMIT.match(text, after):
        return []
    if _COMMA.match(text, after):
        return [value, math.inf]  # a decimal or a thousands comma, or two numbers
    below = _BELOW.match(text, after)
    if below and (space.high is None or _float(below[1]) != space.high):
        return [math.nan]
    if _PERCENT.match(text, after) and space.high != 100:
        return [math.nan]
    return [value + 0.0]


def _float(text: str) -> float:
    digits = re.search(_PLAIN, text)
    assert digits is not None  # it matched _SIGNED
    return -float(digits[0]) if re.match(_MINUS, text) else float(digits[0])


def _word(text: str) -> set[float]:
    """The number that a number word is, alone or with a sign."""
    words = text.strip(" .!\"'*()\n").split()
    sign = 1.0
    if len(words) == 2 and words[0] in ("minus", "negative"):
        sign, words = -1.0, words[1:]
    if len(words) == 1 and words[0][:1] == "负" and len(words[0]) > 1:
        sign, words = -1.0, [words[0][1:]]
    return {sign * _WORDS[words[0]]} if len(words) == 1 and words[0] in _WORDS else set()


@lru_cache(maxsize=64)
def _scale(low: float | None, high: float | None) -> re.Pattern[str] | None:
    """A mention of the whole scale, each end perhaps explained in brackets."""
    if low is None or high is None:
        return None
    ends = [_end(low), _end(high)]
    note = r"(?:\s*\([^()]{0,40}\))?"
    joint = r"\s*(?:to|and|through|until|up to|,|;|~|\.\.+|…|–|—|到|至|-)\s*"
    numbered = ""
    if low == 0 and high == int(high) and 1 < high <= 10:
        numbered = (
            "|" + r",?\s*(?:or\s*)?".join(rf"{n}{note}" for n in range(int(high) + 1)) + r"\s*\?"
        )
    return re.compile(
        rf"(?<![\d.])[\[(]?{ends[0]}{note}{joint}{ends[1]}(?![\d.]\d){note}[\])]?{numbered}"
    )


def _end(value: float) -> str:
    zeros = r"(?:\.0+)?" if value == int(value) else ""
    sign = r"[-–]\s?" if value < 0 else r"\+?"
    return sign + re.escape(f"{abs(value):g}") + zeros
