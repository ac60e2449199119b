"""Questions and label words in the language of a clip: hand-worked, and the table's own rules."""

from __future__ import annotations

import logging
from pathlib import Path
from string import Formatter

import numpy as np
import pytest
from omegaconf import OmegaConf

from affect_mllm import config
from affect_mllm.data import languages, manifest
from affect_mllm.data.label_questions import filled
from affect_mllm.data.template import Instruction
from affect_mllm.types import ConfigError, Sample

SEVEN = ("anger", "boredom", "disgust", "fear", "happy", "sad", "neutral")
ASKED = "Which emotion does the person express? Answer with one of: {labels}."


def row(language: str | None, **labels: object) -> Sample:
    return Sample("r", Path(), subtitle="x", language=language, labels=labels)


def asked(instruction: Instruction, sample: Sample) -> tuple[str, object]:
    return instruction.ask(sample, np.random.default_rng(0))


def test_a_row_is_asked_and_answers_in_its_language() -> None:
    made = Instruction((ASKED,), "{emotion}", allowed=("anger", "happy"), language="row")
    assert asked(made, row("de", emotion="anger")) == (
        "Welche Emotion drückt die Person aus? Antworte mit einem dieser Wörter: Wut, Freude.",
        "Wut",
    )
    assert asked(made, row("zh-CN", emotion="happy")) == (
        "这个人表达了哪种情绪？请从以下选项中选一个回答：愤怒, 高兴。",
        "高兴",
    )
    english = (ASKED.format(labels="anger, happy"), "anger")
    assert asked(made, row("en", emotion="anger")) == english
    assert asked(Instruction((ASKED,), "{emotion}", allowed=("anger", "happy")),
                 row("de", emotion="anger")) == english, "without the option"  # fmt: skip


def test_one_language_for_every_row_and_numbers_and_lists() -> None:
    number = "Rate {name} between {low} and {high}. Answer with a number."
    made = Instruction((number,), "{stress:.1f}", scale=(0, 10), language="de")
    assert asked(made, row("en", stress=2.0)) == (
        "Bewerte Stress zwischen 0 und 10. Antworte mit einer Zahl.",
        "2.0",
    )
    free = Instruction(("List the emotional states of the person.",), "{emotions}", language="de")
    assert asked(free, row(None, emotions=["sad", "homesick"]))[1] == "Trauer, homesick"


def test_what_has_no_translation_is_asked_as_it_is_written_and_said_once(caplog) -> None:
    made = Instruction(("How is she: {labels}?",), "{emotion}", allowed=SEVEN, language="row")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert asked(made, row("de", emotion="sad"))[1] == "sad", "all of it or nothing"
            assert asked(made, row("sw", emotion="sad"))[1] == "sad"
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said)) == 2
    assert any("sw" in message for message in said)
    with pytest.raises(ConfigError, match=r"instruction\.language"):
        Instruction((ASKED,), "{emotion}", allowed=SEVEN, language="xx")


def test_two_classes_of_one_word_keep_their_own_names() -> None:
    german = languages.read("de")
    assert german is not None
    assert german.labels(("happy", "joy", "sad")) == ("happy", "joy", "Trauer")
    assert "Freude" not in dict(german.also(("happy", "joy", "sad")))
    assert dict(german.also(("angry", "sad")))["wütende"] == "angry"


def test_a_question_that_was_filled_in_is_found_by_its_phrasing() -> None:
    chinese = languages.read("zh")
    assert chinese is not None
    text = "What is the person's mood? Answer with one of: bored, sad, 淡定."
    assert (
        chinese.question(text) == "这个人的心情是什么？请从以下选项中选一个回答：无聊, 悲伤, 淡定。"
    )
    assert chinese.question("What now?") is None
    german = languages.read("de")
    assert german is not None
    for other in (
        "What is the emotion of the person?",
        "What is the mood? A or B?",
        "State the emotion, then the reason.",
    ):
        assert german.question(other) is None, "half of it would stay English"


def test_what_has_no_words_of_its_own_and_what_is_not_preferred_are_in_the_language_too() -> None:
    made = Instruction(("{context}",), "{emotion}", rejected="{other}", language="de")
    said = asked(made, row("de", emotion="anger", other="happy", context=["A: Na?"]))
    assert said == ("A: Na?", ("Wut", "Freude"))


@pytest.mark.parametrize("code", languages.codes())
def test_the_table_translates_the_questions_of_own_labels_and_keeps_what_they_name(
    code: str,
) -> None:
    language = languages.read(code)
    assert language is not None
    names = ("closed_label", "own_classes", "own_list", "own_number", "own_text", "open_vocabulary",
             "description", "sentiment", "valence", "arousal", "intensity")  # fmt: skip
    for name in names:
        node = OmegaConf.load(config.conf_dir() / "instruction" / f"{name}.yaml")
        for phrasing in node.questions:
            assert phrasing in language.questions, (name, phrasing)
    for english, other in language.questions.items():
        fields = [sorted(n for _, n, _, _ in Formatter().parse(x) if n) for x in (english, other)]
        assert fields[0] == fields[1], other
    basic = (*SEVEN, "surprise", "contempt")
    assert len(set(language.labels(basic))) == len(basic)


def test_the_questions_of_a_manifests_labels_take_the_datas_language(tmp_path) -> None:
    path = tmp_path / "m.jsonl"
    rows = [
        {"id": label, "subtitle": "x", "split": "train", "labels": {"emotion": label}}
        for label in ("sad", "happy")
    ]
    manifest.write(rows, path)
    data = {"manifest": str(path), "ask_labels": ["all"], "language": "row"}
    told, _ = filled(data, {})
    assert told["instructions"]["label"]["language"] == "row"
    assert "language" not in filled({**data, "language": None}, {})[0]["instructions"]["label"]
