"""Rewards: pure, bounded, read as evaluation reads, and not to be had by tricks."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from affect_mllm.data import manifest
from affect_mllm.eval.benchmarks import load_task
from affect_mllm.eval.chat import Endpoint
from affect_mllm.eval.emotion_wheel.score import pair_f1
from affect_mllm.eval.generate.judge import Rubric
from affect_mllm.eval.read.base import Space
from affect_mllm.eval.read.policies import extract
from affect_mllm.rewards.judge import Judge
from affect_mllm.rewards.reading import LISTS, said
from affect_mllm.rewards.text import CueOverlap, Format, Label, LabelCount, Length
from affect_mllm.rewards.wheel import WheelF1, best_constant
from affect_mllm.train.rollout.reward import ROWS, Answered, Reward, constants
from affect_mllm.types import ConfigError, DataError, Sample
from tests.eval.server import served

QUESTION = "List the emotional states of the person."
TRUTHS = [
    ["happy", "proud"],
    ["sad", "lonely", "tired"],
    ["angry"],
    ["anxious", "afraid"],
    ["surprised", "curious"],
    ["disgusted", "bored"],
]
ALL = "happy, sad, angry, afraid, surprised, disgusted, calm, proud, lonely, anxious, bored"
SYNONYMS = (
    "happy, glad, joyful, cheerful, merry, delighted, pleased, content, elated, jolly, blissful, "
    "ecstatic, thrilled, overjoyed, jubilant, radiant, sunny, upbeat, gleeful, exuberant, "
    "euphoric, satisfied, grateful, hopeful, optimistic, playful, amused, tickled, enchanted, "
    "charmed, blessed, carefree, lively, animated, bubbly, buoyant, chipper, festive, jovial, "
    "mirthful, peppy, perky, sparkling, vivacious, wonderful, zestful, relaxed, peaceful, serene"
)
ADVERSARIES = {
    "empty": "",
    "tags only": "<think></think><answer></answer>",
    "nested": "<think><think>x</think></think><answer><answer>happy</answer></answer>",
    "doubled": "<answer>happy</answer><answer>sad</answer><answer>angry</answer>",
    "turned": f"<answer>{ALL}</answer><think>all of it</think>",
    "all labels": ALL,
    "synonyms": SYNONYMS,
    "nonsense": "blorp, quux, zindle, frobnicate, gromp",
    "the question": QUESTION,
    "a system prompt": "You recognise emotions. List the emotional states of the person.",
    "Chinese": "开心，难过，生气，害怕，惊讶，厌恶",
    "JSON": '{"emotions": ["happy", "sad", "angry", "afraid", "surprised", "disgusted"]}',
    "prose": "The person could be feeling any emotion at all, it is hard to say which.",
}


def answered(text: str, truth, *, ended: bool = True, tokens: int = 8) -> Answered:
    labels = truth if isinstance(truth, dict) else {"emotions": truth}
    return Answered("a", QUESTION, text, ended, tokens, labels)


def total(text: str, truth) -> float:
    """As the stage `reinforce` rewards."""
    rewards = (WheelF1(weight=1.0), LabelCount(at_most=4, weight=0.2))
    return sum(each.weight * float(each([answered(text, truth)])[0] or 0.0) for each in rewards)


@pytest.mark.parametrize("name", sorted(ADVERSARIES))
def test_no_trick_beats_the_honest_answer(name: str) -> None:
    """Neither in any row by more than a tie, nor over rows."""
    gained = [total(ADVERSARIES[name], truth) for truth in TRUTHS]
    honest = [total(", ".join(truth), truth) for truth in TRUTHS]
    assert all(a <= b + 1e-9 for a, b in zip(gained, honest, strict=True))
    assert sum(gained) < 0.8 * sum(honest)


REWARDS: list[Reward] = [
    *(WheelF1(level=level) for level in ("level1", "level2", "two_levels", "all")),
    LabelCount(at_most=3, at_least=2),
    Format(),
    Length(most=6, least=2, soft=4),
    CueOverlap(),
    Label(labels=["happy", "sad", "angry"]),
]


@pytest.mark.parametrize("reward", REWARDS, ids=lambda r: type(r).__name__)
def test_it_is_pure_and_within_its_bounds(reward: Reward) -> None:
    rows = {"emotion": "happy", "visual_cues": "a broad smile", "vocal_cues": "a bright voice"}
    texts = [*ADVERSARIES.values(), *(", ".join(t) for t in TRUTHS), "a smile", "happy"]
    texts += ["<think>a smile</think><answer>happy</answer>"] * 2  # one of them cut off
    answers = [
        answered(text, rows | {"emotions": TRUTHS[n % 6]}, ended=n % 3 > 0, tokens=n)
        for n, text in enumerate(texts)
    ]
    found = reward(answers)
    assert all(each is None or reward.low <= each <= reward.high for each in found)
    assert len({*found}) > 1
    order = random.Random(1).sample(range(len(answers)), len(answers))
    again = reward([answers[n] for n in order])
    assert again == [found[n] for n in order]
    assert [reward([each])[0] for each in answers] == found


def test_the_wheel_is_the_metric_s_own_f_of_what_evaluation_reads() -> None:
    """On the answers of the benchmark: the same policy, of the same version."""
    reward = WheelF1()
    task = load_task("ov_merd_plus")
    assert task.extraction == LISTS
    for truth in TRUTHS:
        for text in (*ADVERSARIES.values(), "Joyful and a bit proud.", "sad; lonely"):
            read = extract(text, Space(question=QUESTION), task.extraction).value
            labels = read if isinstance(read, tuple) else ()
            assert reward([answered(text, truth)]) == [pair_f1(truth, labels, reward.tables)]
            assert said(answered(text, truth)) == labels


def test_one_more_true_label_never_lowers_it() -> None:
    reward = WheelF1(level="all")
    for truth in TRUTHS:
        found = [reward.score(truth, truth[:n]) for n in range(len(truth) + 1)]
        assert found == sorted(found)
        assert found[-1] == 1.0


def test_what_the_best_answer_to_every_row_is_worth() -> None:
    """A constant that no clip is needed for: what a curve has to be read beside."""
    reward, words = WheelF1(), [word for truth in TRUTHS for word in truth]
    labels, worth = best_constant(reward, TRUTHS, words)
    assert 1 <= len(labels) <= 4
    assert 0.1 < worth < 1.0
    assert worth == pytest.approx(sum(reward.score(t, labels) for t in TRUTHS) / len(TRUTHS))
    assert worth >= max(sum(reward.score(t, [w]) for t in TRUTHS) / len(TRUTHS) for w in words)


def test_a_stage_s_rows_say_what_a_constant_is_worth() -> None:
    """Over all rows, though some lack the label; no other reward knows of one."""
    truths = [{"emotions": list(truth)} for truth in TRUTHS] + [{}]
    samples = [Sample(f"s{n}", Path(), labels=each) for n, each in enumerate(truths)]
    rewards = {"wheel": WheelF1(), "few": LabelCount()}
    found = constants(rewards, samples)
    words = [word for truth in TRUTHS for word in truth]
    assert found == {"wheel/constant": pytest.approx(best_constant(WheelF1(), TRUTHS, words)[1])}
    assert constants(rewards, []) == {}


def test_a_constant_is_looked_for_in_all_parts_of_many_rows() -> None:
    """Of a manifest that is sorted by its labels, too."""
    count = 2 * ROWS - 1
    labels = [{"emotions": ["joy" if n < count // 2 else "anger"]} for n in range(count)]
    seen: list[Mapping[str, Any]] = []

    class Sees(LabelCount):
        def constant(self, truths: Sequence[Mapping[str, Any]]) -> float | None:
            seen.extend(truths)
            return None

    constants({"sees": Sees()}, [Sample(f"s{n}", Path(), labels=t) for n, t in enumerate(labels)])
    assert len(seen) <= ROWS
    angry = sum(truth["emotions"] == ["anger"] for truth in seen)
    assert abs(angry - len(seen) / 2) <= 1


@pytest.mark.parametrize(
    ("text", "ended", "worth"),
    [
        ("<think>a smile</think><answer>happy</answer>", True, 1.0),
        (" <think>a\nsmile</think>\n<answer>happy, proud</answer>\n", True, 1.0),
        ("<think>a smile</think><answer>happy</answer>", False, 0.0),
        ("<think></think><answer>happy</answer>", True, 0.0),
        ("<think>a</think><answer> </answer>", True, 0.0),
        ("<answer>happy</answer><think>a</think>", True, 0.0),
        ("<think>a</think><answer>b</answer> and more", True, 0.0),
        ("<think>a</think><think>b</think><answer>c</answer>", True, 0.0),
        ("<think><answer>a</answer></think><answer>c</answer>", True, 0.0),
        ("<think>a</think><answer>b</answer><answer>c</answer>", True, 0.0),
        ("<think></think></think><answer>x</answer>", True, 0.0),
        ("<think>a<answer></think><answer>x</answer>", True, 0.0),
        ("<think>a</think><answer></answer></answer>", True, 0.0),
        ("happy", True, 0.0),
    ],
)
def test_the_form(text: str, ended: bool, worth: float) -> None:
    assert Format()([answered(text, [], ended=ended)]) == [worth]


def test_the_form_teaches_nothing_where_it_was_not_asked_for() -> None:
    asked = answered("happy", [])._replace(question="Think in <think> </think>, then answer.")
    plain = asked._replace(question="List the emotions.")
    assert Format(where="<think>")([asked, plain]) == [0.0, 1.0]


def test_what_is_thought_is_not_the_answer() -> None:
    text = "<think>not angry, not sad</think><answer>happy</answer>"
    assert said(answered(text, [])) == ("happy",)
    assert Label(labels=["happy", "sad"])([answered(text, {"emotion": "happy"})]) == [1.0]


def test_counts_and_lengths() -> None:
    count = LabelCount(at_most=2)
    texts = ["", "happy", "happy, proud", "happy, proud, calm", "happy, proud, calm, sad, angry"]
    assert count([answered(t, []) for t in texts]) == [0.0, 1.0, 1.0, 0.5, 0.0]
    assert count([answered("happy, happy, happy", [])]) == [1.0]
    length = Length(most=6, least=2, soft=4)
    given = [answered("x", [], tokens=n) for n in (1, 2, 6, 7, 10, 30)]
    assert length(given) == [0.75, 1.0, 1.0, 0.75, 0.0, 0.0]


def test_cues_are_shared_words_and_none_where_a_row_has_none() -> None:
    cues = {"visual_cues": "A broad smile.", "vocal_cues": "The voice is bright."}
    same = answered("a broad smile and a bright voice", cues)
    assert CueOverlap()([same]) == [1.0]
    assert CueOverlap()([answered("a frown", cues), answered("x", {"emotions": []})]) == [0.0, None]


def test_the_judge_s_failure_is_no_reward_and_no_answer_is_judged_twice(tmp_path) -> None:
    rubric = Rubric("r", "1", "{description} {response}", "here", scores={"overlap": (1, 10)})
    replies = {"good": '{"overlap": 10}', "fair": '{"overlap": 4}', "odd": "I would say so."}

    def say(body, number: int) -> tuple[int, str]:
        word = body["messages"][-1]["content"].split()[-1]
        return (200, replies[word]) if word in replies else (500, "down")

    truth = {"description": "A smile."}
    answers = [answered(text, truth) for text in ("good", "fair", "odd", "lost", "")]
    with served(say) as seen:
        chat = Endpoint(seen.url, "m", retries=0, backoff_s=0.0, workers=1)
        path = str(tmp_path / "replies.jsonl")
        judge = Judge(rubric=rubric, chat=chat, score="overlap", replies=path)
        assert judge(answers) == [1.0, pytest.approx(1 / 3), None, None, 0.0]
        asked = len(seen.requests)
        again = Judge(rubric=rubric, chat=chat, score="overlap", replies=path)
        assert again(answers[:2]) == [1.0, pytest.approx(1 / 3)]
        assert len(seen.requests) == asked, "kept in the file"
    with pytest.raises(ConfigError, match=r"rewards\.score"):
        Judge(rubric=rubric, chat=chat, score="other", replies=path)


def test_what_cannot_be_is_said(tiny) -> None:
    with pytest.raises(ConfigError, match="as \\[think, answer\\]"):
        Format(tags=["<think>"])
    with pytest.raises(ConfigError, match=r"rewards\.policy"):
        Label(labels=["a"], policy="label_list_v3")
    with pytest.raises(ConfigError, match="at most 2"):
        LabelCount(at_most=2, at_least=3)
    with pytest.raises(ConfigError, match="at most 2"):
        Length(most=2, least=3)
    with pytest.raises(DataError, match="no label emotions"):
        WheelF1()([answered("happy", {})])
    rows = manifest.read(Path(tiny.root) / "manifest.jsonl")
    assert WheelF1()([answered("happy", rows[0].labels)]) == [1.0]
