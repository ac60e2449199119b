"""Traces of reasoning, which are no answer: what models think aloud before they answer."""

from __future__ import annotations

import re

# Names of tags that hold reasoning: <think>…</think>, [THINK]…[/THINK], ◁think▷…◁/think▷.
NAMES = (
    "think",
    "thinking",
    "thought",
    "thoughts",
    "reason",
    "reasoning",
    "analysis",
    "reflection",
    "scratchpad",
    "seed:think",
    "cot",
    "inner_monologue",
    "|begin_of_thought|",
)
_SQUARE = ("think", "thinking")  # other words in square brackets are headings
BRACKETS = (("<", "</", ">"), ("[", "[/", "]"), ("◁", "◁/", "▷"))
# Traces whose two ends have names of their own.
PAIRS = (
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<unused94>", "<unused95>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("<|channel|>commentary<|message|>", "<|channel|>final<|message|>"),
)
# The same channels where the special tokens between them were dropped: analysis…assistantfinal…
_BARE_CHANNELS = re.compile(r"\Aanalysis(?=[A-Z\"']|\s*The|\s*We)", re.ASCII)
_BARE_FINAL = "assistantfinal"
_ALL = [
    *(
        (f"{o}{n}{e}", f"{c}{n}{e}")
        for n in NAMES
        for o, c, e in BRACKETS
        if o != "[" or n in _SQUARE
    ),
    *PAIRS,
]
_CLOSE_OF = dict(_ALL)
_CLOSES = {close for _, close in _ALL}
_MARK = re.compile(
    "|".join(sorted(map(re.escape, {*_CLOSE_OF, *_CLOSES}), key=lambda each: (-len(each), each))),
    re.IGNORECASE,
)
_ANSWER = "<answer>"


def without_traces(text: str) -> str:
    """What stands outside of traces, stripped: after the last one, if anything stands there.

    A trace that was never closed has no answer after it, only before it or in an answer tag. A
    closing tag without an opening one ends a trace that began with the answer.
    """
    if _BARE_CHANNELS.match(text):
        _, final, answer = text.rpartition(_BARE_FINAL)
        return answer.strip() if final else ""
    if not any(sign in text for sign in "<[◁"):
        return text.strip()
    parts: list[str] = []
    place, closing = 0, ""
    for match in _MARK.finditer(text):
        mark = match[0].lower()
        if mark in _CLOSES:
            parts = parts if closing else []
            closing, place = "", match.end()
        elif not closing:
            parts.append(text[place : match.start()])
            closing, place = _CLOSE_OF[mark], match.end()
    rest = text[place:]
    if closing:
        rest = rest[rest.lower().find(_ANSWER) :] if _ANSWER in rest.lower() else ""
    kept = [part.strip() for part in (*parts, rest) if part.strip()]
    return kept[-1] if kept else ""
