"""Rows of words alone: their own question is all that is asked, and nothing else is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import affect_mllm
from affect_mllm.eval.generate.asking import Asker
from affect_mllm.eval.generate.question import Question
from affect_mllm.eval.generate.views import View, has
from affect_mllm.types import Sample

ASKED = "Task: say how it feels. Text: It rains. Answer: "
QUESTION = Question("", of_row=lambda sample: str(sample.labels["question"]))


def test_a_row_of_words_is_asked_its_own_question(tiny, tiny_run) -> None:
    model = affect_mllm.load(tiny_run / "instruct/final").model
    features = replace(tiny.data, cache_dir=None).features(model.transforms(), {})
    asker = Asker(model, tiny.maker(model), features, "abc", max_new_tokens=4)
    turns = ({"role": "user", "content": ASKED}, {"role": "assistant", "content": "0.2"})
    sample = Sample("w", Path(), messages=turns, labels={"question": ASKED})
    (row,) = asker.answer([sample], QUESTION)
    assert row["modalities"] == ["text"]
    assert "error" not in row
    example = asker.maker.make(sample, {}, question=ASKED)
    said = asker.maker.chat.tokenizer.decode(example.input_ids)
    assert ASKED.strip() in said
    assert "0.2" not in said, "the answer is not shown"
    (blind,) = asker.answer([sample], QUESTION, View(("face", "audio")))
    assert "no picture, no sound and no text" in blind["unseen"]
    assert (has(sample, "text"), has(sample, "face")) == (True, False)
    (strange,) = asker.answer([sample], Question("Which emotion is it?"))
    assert "no picture, no sound and no text" in strange["error"], "nothing of the row was shown"
    empty = replace(sample, messages=())
    (row,) = asker.answer([empty], QUESTION)
    assert "unseen" in row
