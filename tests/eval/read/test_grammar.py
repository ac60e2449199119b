"""The grammar's automaton has each of its phrases, and none besides."""

from __future__ import annotations

import random
import re

import pytest

from affect_mllm.eval.read.grammar import OTHERS, Role, _automaton, _phrases, grammar
from affect_mllm.eval.read.tokens import Phrases, tokens_of

DRAWS = 4000
PART = re.compile(r"\{([^{}]*)\}|\[([^\[\]]*)\]")


def spoken(phrase: str, draw: random.Random) -> str:
    """One way to read the choices of a phrase."""
    if phrase in "()[]{}":
        return phrase
    return PART.sub(
        lambda match: draw.choice(
            match[1].split("|") if match[1] is not None else [*match[2].split("|"), ""]
        ),
        phrase,
    )


@pytest.mark.parametrize("language", ["", *OTHERS])
def test_any_phrase_is_found_whole_with_its_role(language: str) -> None:
    tables = ["grammar.txt", *([f"grammar_{language}.txt"] if language else [])]
    draw, every, others = random.Random(0), [one for name in tables for one in _phrases(name)], 0
    for phrase, role in [*every, *(draw.choice(every) for _ in range(DRAWS))]:
        tokens = tokens_of(spoken(phrase, draw))
        if not tokens:
            continue
        end, found = grammar(language).at(tokens, 0)
        assert end == len(tokens), tokens
        others += found != role
    # The same words may stand on several lines, of which the last one counts.
    assert others < 0.05 * DRAWS


def test_choices_are_multiplied_out_and_no_further() -> None:
    """Held against a plain dictionary of every reading, also of ones that begin alike."""
    table = [
        ("{a|b} [very|so] {c|d e}", Role("not")),
        ("a very c", Role("or")),
        ("[a] b", Role("and")),
        ("x{un|}y", Role("no")),
        ("我[很]{不|没}好", Role("sorry")),
    ]
    phrases = {
        "a c": "not", "a d e": "not", "a very c": "or", "a very d e": "not", "a so c": "not",
        "a so d e": "not", "b c": "not", "b d e": "not", "b very c": "not", "b very d e": "not",
        "b so c": "not", "b so d e": "not", "a b": "and", "b": "and", "xuny": "no", "xy": "no",
        "我很不好": "sorry", "我很没好": "sorry", "我不好": "sorry", "我没好": "sorry",
    }  # fmt: skip
    made, plain = _automaton(table), Phrases(phrases.items())
    words = ["a", "b", "c", "d", "e", "very", "so", "x", "xy", "xuny", *"我很不没好"]
    draw = random.Random(0)
    texts = [tokens_of(phrase) for phrase in phrases]
    texts += [[draw.choice(words) for _ in range(5)] for _ in range(2000)]
    for tokens in texts:
        end, role = made.at(tokens, 0)
        wanted_end, name = plain.at(tokens, 0)
        assert (end, None if role is None else role.name) == (wanted_end, name), tokens
