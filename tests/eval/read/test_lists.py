"""Open label lists and polarity."""

from __future__ import annotations

import pytest

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.policies import extract


@pytest.mark.parametrize(
    ("response", "labels"),
    [
        ("happy", ("happy",)),
        ("[happy, sad, and angry]", ("happy", "sad", "angry")),
        ('["worried", "at a loss"]', ("worried", "at a loss")),
        ("1. Angry\n2. Sad", ("angry", "sad")),
        ("- angry\n- sad\n- angry", ("angry", "sad")),
        ("The character's emotional state is anxious and a bit sad.", ("anxious", "sad")),
        ("angry, not sad", ("angry",)),
        ("<think>sad</think><answer>wistful; calm</answer>", ("wistful", "calm")),
        ("bananas", ("bananas",)),
        ("extremely angry, slightly sad", ("angry", "sad")),
        ("The man appears happy because he won.", ("happy",)),
        ("[at a loss, a sense of guilt]", ("at a loss", "sense of guilt")),
        ("looking forward to, joyful", ("looking forward to", "joyful")),
        ("She feels ashamed and insulted.", ("ashamed", "insulted")),
        ("He seems bewildered, tormented", ("bewildered", "tormented")),
        ("The mood is intense, with trepidation.", ("intense", "trepidation")),
        ("positive, warning", ("positive", "warning")),
        ("他感到悲伤和愤怒", ("悲伤", "愤怒")),
        (
            "The woman raises her voice and frowns, so she is angry and frustrated. "
            "She does not seem sad to me.",
            ("angry", "frustrated"),
        ),
        ("The man smiles. He feels no joy at all, only relief.", ("relief",)),
    ],
)
def test_labels_are_read_from_lists_and_from_prose(response, labels):
    assert extract(response, Space(), "label_list_v3") == Extraction(labels, "ok")


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("", "empty"),
        ("[]", "empty"),
        ("I'm sorry, I can't help with that.", "refused"),
        ("The video shows a man who walks along a street in the rain.", "out_of_vocabulary"),
        ("He takes a bit of cake off his hat; long ago he had a car.", "out_of_vocabulary"),
        ("His face reflects the light, and he remembers a name.", "out_of_vocabulary"),
        (
            "He has a good idea; they debate it, and she gives advice.",
            "out_of_vocabulary",
        ),
    ],
)
def test_a_list_of_nothing_says_why(response, status):
    assert extract(response, Space(), "label_list_v3") == Extraction(None, status)


@pytest.mark.parametrize(
    ("response", "value", "status"),
    [
        ("positive", "positive", "ok"),
        ("The sentiment is NEGATIVE.", "negative", "ok"),
        ("消极", "negative", "ok"),
        ("neutral", "neutral", "ok"),
        ("not positive, negative", "negative", "ok"),
        ("happy, joyful", "positive", "ok"),
        ("worried, shocked", "negative", "ok"),
        ("surprised", "neutral", "ok"),
        ("positive or negative", None, "ambiguous"),
        ("happy, sad", None, "ambiguous"),
        ("qwertz", None, "out_of_vocabulary"),
        ("I cannot determine that", None, "refused"),
    ],
)
def test_polarity_is_stated_or_voted(response, value, status):
    assert extract(response, Space(), "polarity_v3") == Extraction(value, status)


@pytest.mark.parametrize("word", ["lonely", "friendly"])
def test_an_adverbs_ending_alone_leaves_the_word_as_it_is(word):
    assert extract(f"{word}, sad", Space(), "label_list_v3").value == (word, "sad")
