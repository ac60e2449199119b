"""Instructions: seeded phrasings, label spaces from data, numbers in a stated range."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affect_mllm import config
from affect_mllm.data.template import Conversation, Instruction, Prompt
from affect_mllm.types import ConfigError, DataError, Sample

SHIPPED = sorted(path.stem for path in (config.conf_dir() / "instruction").glob("*.yaml"))
ROW = Sample(
    "row7",
    Path(),
    subtitle="Fine.",
    speaker="Anna",
    labels={
        "emotion": "happy",
        "emotions": ["happy", "calm"],
        "sentiment": "positive",
        "description": "She smiles.",
        "visual_cues": "A smile.",
        "chosen": "She is glad: a wide smile.",
        "rejected": "She is sad.",
        "intensity": 0.25,
        "valence": -0.5,
        "arousal": 0.0,
        "context": ["Ben: Where were you?", "Anna: At home."],
    },
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_instruction_asks_and_answers(name: str) -> None:
    """Whatever the phrasing: nothing is left unfilled, and the answer is not in the question."""
    cfg = config.compose("train", ["experiment=demo", f"+instruction@extra={name}"])
    if "allowed" in cfg.extra and not cfg.extra.allowed:
        with pytest.raises(ConfigError, match="allowed"):
            config.build(cfg.extra)
        cfg.extra.allowed = ["happy", "sad", "angry", "calm"]
    made = config.build(cfg.extra)
    if isinstance(made, Conversation):
        return
    asked = {(q, "".join(a)) for q, a in (made.ask(ROW, rng(seed)) for seed in range(60))}
    assert len({re.sub(r"happy.*angry|angry.*sad|sad.*happy", "", q) for q, _ in asked}) >= len(
        made.questions
    )
    for question, answer in asked:
        assert not re.search(r"[{}]", question + answer)
        assert answer
        assert made.allowed or answer not in question
        assert all(label in question for label in made.allowed)
    assert made.ask(ROW, rng(3)) == made.ask(ROW, rng(3))


def test_the_label_space_is_listed_in_the_order_of_the_data_or_shuffled() -> None:
    labels = ("happy", "sad", "angry")
    one = Instruction(("One of {labels}?",), "{emotion}", allowed=labels)
    assert one.ask(ROW, rng())[0] == "One of happy, sad, angry?"
    mixed = Instruction(("{labels}",), "{emotion}", allowed=labels, shuffle_labels=True)
    orders = Counter(mixed.ask(ROW, rng(seed))[0] for seed in range(600))
    assert len(orders) == 6
    assert min(orders.values()) > 60
    assert {tuple(sorted(order.split(", "))) for order in orders} == {tuple(sorted(labels))}


def test_the_first_turn_of_a_dialogue_says_that_nothing_was_said_yet() -> None:
    one = Instruction(("{context} / {speaker}",), "{emotion}")
    first = replace(ROW, labels={**ROW.labels, "context": []})
    assert one.ask(ROW, rng())[0] == "Ben: Where were you?\nAnna: At home. / Anna"
    assert one.ask(first, rng())[0] == "(nothing yet) / Anna"
    without = replace(ROW, labels={"emotion": "happy"})
    with pytest.raises(DataError, match="row7: no context"):
        one.ask(without, rng())


def test_phrasings_of_question_and_answer_are_drawn_evenly() -> None:
    one = Instruction(("a", "b"), ("{emotion}", "It is {emotion}.", "I see {emotion}."))
    pairs = Counter(one.ask(ROW, rng(seed)) for seed in range(600))
    assert len(pairs) == 6
    assert min(pairs.values()) > 60
    assert one.answer_for(ROW) == "happy"


@pytest.mark.parametrize(
    ("scale", "value", "answer", "said"),
    [
        (None, -0.5, "-0.50", "-1 to 1"),
        ((-3, 3), -0.5, "-1.50", "-3 to 3"),
        ((1, 9), -1.0, "1.00", "1 to 9"),
        ((0, 1), 0.5, "0.75", "0 to 1"),
        (None, -0.001, "0.00", "-1 to 1"),
    ],
)
def test_numbers_are_stated_in_their_range(scale, value, answer, said) -> None:
    one = Instruction(("{low} to {high}",), "{valence:.2f}", scale=scale)
    row = Sample("r", Path(), subtitle="x", labels={"valence": value})
    assert one.ask(row, rng()) == (said, answer)


@pytest.mark.parametrize(
    ("questions", "answer", "options", "said"),
    [
        (("{emotion}?",), "{emotion}", {}, r"names \['emotion'\]"),
        (("{labels}?",), "{emotion}", {}, "allowed"),
        (("{low}?",), "{emotion}", {}, "exactly one"),
        (("?",), "{valence:.1f} {arousal:.1f}", {"scale": (0, 1)}, "exactly one"),
        (("a { b",), "{emotion}", {}, "a { b"),
        (("?",), "x", {"source": "a paper"}, "licence"),
    ],
)
def test_wrong_instructions_are_refused(questions, answer, options, said) -> None:
    with pytest.raises(ConfigError, match=said):
        Instruction(questions, answer, **options)


def test_rows_that_do_not_answer_are_errors_of_the_row() -> None:
    bare = Sample("row7", Path(), subtitle="x", labels={"emotion": "bored", "valence": "much"})
    for one, said in (
        (Instruction(("?",), "{emotions}"), "no label emotions"),
        (Instruction(("?",), "{emotion}", allowed=("happy",)), "'bored'"),
        (Instruction(("{speaker}?",), "{emotion}"), "no speaker"),
        (Instruction(("?",), "{valence:.1f}"), "'much'"),
    ):
        with pytest.raises(DataError, match=f"row row7(.|\n)*{said}"):
            one.ask(bare, rng())


def test_a_question_for_a_clip_without_a_row() -> None:
    labels = ("happy", "sad")
    one = Instruction(("{labels}?", "other"), "{emotion}", allowed=labels, shuffle_labels=True)
    assert one.plain_question() == "happy, sad?"
    with pytest.raises(ConfigError, match="speaker"):
        Instruction(("{speaker}?",), "{emotion}").plain_question()


def test_a_prompt_needs_a_place_for_each_medium_and_says_its_licence() -> None:
    for options, said in (
        ({"lines": {"face": "Face"}, "order": ("face",)}, r"lines\.face"),
        ({"lines": {}, "order": ("audio",)}, r"lines\.audio"),
        ({"question": "?"}, "question"),
        ({"source": "a paper"}, "licence"),
    ):
        with pytest.raises(ConfigError, match=said):
            Prompt(**options)
