"""Where an answer says what it comes to: the last explicit mark, else the whole text.

Marks in the order in which they count: answer tags and boxes, JSON (fenced too), then "final
answer" and its like. Each may hold another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from affect_mllm.eval.read.base import Space
from affect_mllm.eval.read.echo import without_echo
from affect_mllm.eval.read.json_answer import json_text
from affect_mllm.eval.read.normal import is_blank, unified
from affect_mllm.eval.read.traces import without_traces

TAGS = (
    ("<answer>", "</answer>"),
    ("<final_answer>", "</final_answer>"),
    ("<|begin_of_box|>", "<|end_of_box|>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
)
TURNS = ("<|im_start|>assistant", "<start_of_turn>model", "[/INST]", "\nassistant:", " assistant:")
_SPECIAL = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:eos|pad|bos|end_of_turn|start_of_turn)>")
_KIND = (
    r"(?:answer|prediction|conclusion|verdict|final (?:emotion|label|score|rating|choice|decision))"
)
_SIGN = r"(?:\s*(?:[:=>]|-+>?|[–—])|\s+(?:is|would be|should be|must be|will be)\b(?!\s*not\b))"
_MARK = re.compile(
    rf"\b{_KIND}[*_\"'\])]*(?:\s*\([^()\n]{{0,30}}\))?{_SIGN}"
    rf"|^[\W_]*(?:the |my )?(?:final |correct )?{_KIND}[\W_]*$"
    r"|(?:答案|结论|最终判断|我的判断|回答)\s*(?:应该|应当|应)?[*\"]*(?:是(?!否)|为|:)",
    re.IGNORECASE | re.MULTILINE,
)
_MARK_WORDS = ("answer", "predict", "conclu", "verdict", "final", "答案", "结论", "判断", "回答")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_MACRO = re.compile(r"\\(?:text|mathrm|textbf|mathbf|emph|textit)\s*\{([^{}]*)\}")
_LEAD = " \t\n\r:=*_#\"'>"  # no minus sign: "answer: -2"
_STOPS = re.compile(r"(?<![.\d])[.!?](?=[\s*_\"')]|$)(?!\s*\d+\s*$)|[。？！；]|\n")


_CORRECTION = re.compile(
    r"\b(?:wait|scratch that|correction|on second thoughts?|no, actually)\b[\s,.:!-]*"
    r"(?:(?:no|actually|sorry)\b[\s,.:!-]*)*",
    re.IGNORECASE,
)


class Conclusion(NamedTuple):
    """A text to read; `explicit` where a mark said so, `hard` where the mark holds all of it."""

    text: str
    explicit: bool = False
    hard: bool = False

    @property
    def parts(self) -> list[str]:
        """What of it is read for one answer, the narrowest first."""
        return list(steps(self.text)) if self.explicit and not self.hard else [self.text]


def conclusions(response: str, space: Space, *, whole_json: bool = False) -> Iterator[Conclusion]:
    """What an answer may come to, the likeliest first, as it was written.

    Later ones are for where an earlier one holds no word of an answer ("the answer is based on").
    With `whole_json` no single key of a JSON object is taken for the answer.
    """
    text = without_echo(without_traces(unified(response)), space.question)
    yield from _within(text, whole_json=whole_json)


def outside_marks(response: str, space: Space) -> str:
    """The text of the last answer tag, or after the reasoning trace, as it was written."""
    text = without_echo(without_traces(response), space.question)
    inner = _tagged(text, text.lower())
    return _plain(text, text.lower()).strip() if inner is None else inner


def _within(text: str, *, whole_json: bool, depth: int = 0) -> Iterator[Conclusion]:
    lowered = text.lower()
    inner = _tagged(text, lowered)
    if inner is not None:
        # Tags may hold another mark; what else the answer says no longer counts.
        found = next(_within(inner, whole_json=whole_json, depth=depth + 1), None)
        yield Conclusion(inner if found is None or depth > 3 else found.text, True, True)
        return
    text = _plain(text, lowered)
    found = json_text(text, whole=whole_json)
    if found is not None:
        yield Conclusion(found, True, True)
        return
    lowered = text.lower()
    if any(word in lowered for word in _MARK_WORDS):
        yield from (Conclusion(each, explicit=True) for each in _marked(text))
    yield Conclusion(text.strip())


def _tagged(text: str, lowered: str) -> str | None:
    """What the last answer tag or box holds, to the end of the text where it was never closed."""
    if "<" in lowered and len(lowered) == len(text):
        for opening, closing in TAGS:
            start = lowered.rfind(opening)
            if start >= 0:
                start += len(opening)
                end = lowered.find(closing, start)
                return text[start : end if end >= 0 else len(text)].strip()
    if "\\" in text:
        boxes = list(_BOX.finditer(text))
        if boxes:
            return _MACRO.sub(r"\1", text[boxes[-1].end() : _closing(text, boxes[-1].end())])
    return None


def _closing(text: str, start: int) -> int:
    """Where the brace that was opened before `start` is closed."""
    depth = 1
    for match in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.start()
    return len(text)


def _plain(text: str, lowered: str) -> str:
    """The last turn, without special tokens and macros."""
    if "assistant" in lowered or "<start_of_turn>" in lowered or "[/inst]" in lowered:
        ends = [
            lowered.rfind(turn.lower()) + len(turn) for turn in TURNS if turn.lower() in lowered
        ]
        if ends and not is_blank(text[max(ends) :]):
            text = text[max(ends) :]
    if "<" in text:
        text = _SPECIAL.sub(" ", text)
    return _MACRO.sub(r"\1", text) if "\\" in text else text


def _marked(text: str) -> Iterator[str]:
    """What follows each mark, the last one first, up to the next mark."""
    end = len(text)
    for match in reversed(list(_MARK.finditer(text))):
        after = text[match.end() : end].lstrip(_LEAD)
        if not is_blank(after):
            yield after
        end = match.start()


def steps(text: str) -> Iterator[str]:
    """A conclusion as far as it may reach: its first sentence, its first line, all of it.

    What corrects it ("joy. Wait, anger.") comes before them.
    """
    match = _STOPS.search(text)
    corrected = _CORRECTION.split(text[match.end() :])[1:] if match else []
    if corrected and not is_blank(corrected[-1]):
        yield corrected[-1]
    seen = ""
    first = text[: match.start()] if match else text
    for part in (first, text.partition("\n")[0], text):
        if part != seen and not is_blank(part):
            seen = part
            yield part
