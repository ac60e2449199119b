"""What every policy holds: each label in each wrapping, numbers, traces, echoes, any text."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affect_mllm.eval.benchmarks import benchmark_names, load_task
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.read.base import STATUSES, Extraction, Space
from affect_mllm.eval.read.policies import POLICIES, extract
from affect_mllm.eval.read.traces import BRACKETS, NAMES, PAIRS
from affect_mllm.eval.score.one_answer import answer_of, ranked
from affect_mllm.types import Sample
from tests.eval.answers import LABELS

WRAPPINGS = (
    "{0}", "{0}.", "**{0}**", "_{0}_", '"{0}"', "`{0}`", "<answer>{0}</answer>", "Answer: {0}",
    "The answer is {0}.", "Final answer:\n{0}", "\\boxed{{{0}}}", '{{"answer": "{0}"}}',
    '```json\n{{"answer": "{0}"}}\n```', "<think>hm, not sure</think>\n{0}",
)  # fmt: skip
WORDINGS = (
    "{0}", "_{0}_", "**{0}**", "The emotion is {0}.", "Sure, happy to help! The emotion is {0}.",
    "The clues could suggest surprise or fear. Final answer: {0}", '{{"emotion": "{0}"}}',
    "<think>joy? anger?</think>{0}", "I'm sorry for her. Answer: {0}", "情绪是{0}。",
)  # fmt: skip
TASKS = {name: load_task(name) for name in benchmark_names()}
LABELLED = sorted(name for name, task in TASKS.items() if task.labels)
FUZZED = int(os.environ.get("AFFECT_FUZZED", "40"))  # texts for each policy; `make soak` has more


def read(name, response, **labels):
    task = TASKS[name]
    sample = Sample("a", Path(), labels={**LABELS, **labels})
    return answer_of(task, task.space(sample), Prediction("a", response), policy=task.policy)


@pytest.mark.parametrize("name", LABELLED)
def test_every_label_in_every_wrapping_reads_as_itself(name):
    task = TASKS[name]
    for label in task.labels:
        if task.kind == "distribution" or (task.kind == "multiple_choice" and label > "D"):
            continue
        wanted = task.levels.get(label, label)
        for wrapping in WRAPPINGS:
            found = read(name, wrapping.format(label)).value
            assert found == ((label,) if task.kind == "multi_label" else wanted), wrapping


@pytest.mark.parametrize("form", WRAPPINGS)
@settings(max_examples=60)
@given(number=st.integers(-30, 30).map(lambda tenths: tenths / 10))
def test_a_number_reads_as_itself(form, number):
    space = Space(low=-3.0, high=3.0)
    for text in (f"{number}", f"{number:+.2f}", f"{number}".replace("-", "−")):
        assert extract(form.format(text), space, "number_v2") == Extraction(number, "ok")


@pytest.mark.parametrize("form", ["情感强度为{0}。", "{0}分", "得分:{0}", "答案是{0}", "我觉得{0}"])
@settings(max_examples=60)
@given(number=st.integers(-30, 30).map(lambda tenths: tenths / 10))
def test_a_number_in_chinese_reads_as_itself(form, number):
    space = Space(low=-3.0, high=3.0)
    assert extract(form.format(number), space, "number_v2") == Extraction(number, "ok")


def test_the_wording_moves_accuracy_by_a_hundredth_at_most():
    labels = TASKS["meld_closed"].labels
    order = random.Random(0)
    rows = [(order.choice(labels), order.choice(labels)) for _ in range(200)]
    rates = {
        wording: sum(read("meld_closed", wording.format(a)).value == t for a, t in rows) / len(rows)
        for wording in WORDINGS
    }
    assert max(rates.values()) - min(rates.values()) <= 0.01, rates


OPENINGS = sorted({o + name + e for name in NAMES for o, _, e in BRACKETS if o != "["})


@pytest.mark.parametrize("opening", OPENINGS)
def test_a_trace_is_no_answer(opening):
    closing = opening[0] + "/" + opening[1:]
    assert read("meld_closed", f"{opening}joy{closing}anger").value == "anger"
    assert read("meld_closed", f"{opening}joy").status == "empty"
    assert read("meld_closed", f"joy{closing}anger").value == "anger"


@pytest.mark.parametrize("pair", PAIRS)
def test_a_trace_with_ends_of_its_own_is_no_answer(pair):
    assert read("meld_closed", f"{pair[0]}joy{pair[1]}anger").value == "anger"
    assert read("meld_closed", f"{pair[0]}joy").status == "empty"


@pytest.mark.parametrize("name", ["meld_closed", "eemo_bench_perception", "mvei"])
def test_a_repeated_question_is_taken_off(name):
    answers = {"meld_closed": "fear", "eemo_bench_perception": "B", "mvei": "correct"}
    row = {"question": "Which of these is felt on the left?", "statement": "No joy here."}
    question = TASKS[name].ask(Sample("a", Path(), labels={**LABELS, **row}))
    said = "yes" if name == "mvei" else answers[name]
    assert read(name, f"{question}\n{said}", **row).value == answers[name]


@pytest.mark.parametrize("label", ["don't know", "not sure", "no emotion", "none", "other"])
def test_classes_that_look_like_refusals_are_classes(label):
    space = Space(labels=("happy", "sad", label))
    for text in (label, f"Answer: {label}", f"**{label.title()}**", f"The answer is '{label}'."):
        assert extract(text, space, "closed_label_v4") == Extraction(label, "ok"), text


@pytest.mark.parametrize("text", ["Non neutral", "non-neutral", "not neutral", "Non-neutral."])
def test_what_is_not_neutral_is_not_neutral(text):
    assert read("meld_closed", text).status == "out_of_vocabulary"
    known = Space(labels=("neutral", "non neutral"))
    if text.startswith("Non"):
        assert extract(text, known, "closed_label_v4").value == "non neutral"


@pytest.mark.parametrize("text", ["情绪是happy。", "happy的", "他很happy", "「happy」"])
def test_a_label_beside_chinese_is_read(text):
    space = Space(labels=("happy", "sad"))
    assert extract(text, space, "closed_label_v4") == Extraction("happy", "ok")


def test_other_names_of_a_label_are_the_label():
    assert read("vce", "awe").value == read("vce", "Wonder.").value == "awe (or wonder)"
    assert read("emobench_m_mustard", "He is not sarcastic.").value == "false"


def test_what_a_limit_cut_off_is_read_as_far_as_it_is_complete():
    task, sample = TASKS["meld_closed"], Sample("a", Path())

    def status(response, reason="length"):
        row = Prediction("a", response, finish_reason=reason)
        found = answer_of(task, task.space(sample), row, policy=task.policy)
        return found.label or found.status

    assert status("She looks angry at first, but") == "truncated"
    assert status("joy") == "truncated"
    assert status("<think>joy. anger.") == "truncated"
    assert status("Joy. She smiles becau") == "joy"
    assert status("<answer>joy</answer> becau") == "joy"
    assert status("joy", "stop") == "joy"


def test_of_a_ranking_the_first_is_the_answer():
    task, sample = TASKS["vce"], Sample("a", Path())
    row = Prediction("a", ranking=("wonder", "joy", "fear"))
    assert answer_of(task, task.space(sample), row, policy=task.policy).value == "awe (or wonder)"
    assert ranked(task, row).ranking == ("awe (or wonder)", "joy", "fear")


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_policy_never_sees_the_truth(name):
    task = TASKS[name]
    sample = Sample("a", Path(), labels=dict(LABELS))
    told = replace(sample, labels={**LABELS, task.truth: "THE TRUTH"})
    if task.truth in LABELS:
        pytest.fail(f"{task.truth} is asked for and shown")
    assert task.space(sample) == task.space(told)


PIECES = (
    "joy", "not", "angry", "不", "生气", "<think>", "</think>", "<answer>", "answer:", "\\boxed{",
    "{", "}", '"emotion":', "[", "]", "1.5", "-", "–", "B", "yes", "no", ",", ".", "\n", "60%", "'",
    "neither", "or", "and", "because", "first", "```", "\x00", "İ", "ﬃ", "😀", "٣", "1e999", "’",
)  # fmt: skip


def fuzz(seed: int) -> str:
    order = random.Random(seed)
    glue = order.choice(["", " ", " "])
    return glue.join(
        order.choice(PIECES) if order.random() < 0.9 else chr(order.randrange(1, 0xD7FF))
        for _ in range(order.randrange(1, 40))
    )


@pytest.mark.parametrize("policy", POLICIES)
def test_no_text_makes_a_policy_raise(policy):
    space = Space(("happy_asking", "sad_telling"), -3.0, 3.0, {"A": "sad", "B": "not sure"})
    for seed in range(FUZZED):
        found = extract(fuzz(seed), space, policy)
        assert found.status in STATUSES
        assert (found.value is None) == (found.status != "ok"), fuzz(seed)


@pytest.mark.parametrize(
    "said",
    [
        "He blamed her.",
        "She criticized him.",
        "He accused her of lying.",
        "She misjudged the room.",
    ],
)
def test_what_one_does_to_another_is_not_what_the_doer_feels(said: str) -> None:
    labels = ("happy", "sad", "angry", "neutral", "surprise")
    assert extract(said, Space(labels), "closed_label_v4").status == "out_of_vocabulary"
