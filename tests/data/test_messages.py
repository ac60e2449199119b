"""Rows with `messages`: LLaVA-style turns with placeholders become multi-turn examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from affect_mllm.data.chat import IGNORED, ChatFormat
from affect_mllm.data.example import ExampleMaker
from affect_mllm.data.messages import media_of, turns_of
from affect_mllm.data.template import Media, Prompt, Turn
from affect_mllm.types import DataError, Sample
from tests.data import tokenizers

ARRAY = np.zeros((2, 3), np.float32)
LENGTHS = {"face": 3, "frame": 2, "audio": 2, "image": 4, "multi": 1}


def row(*contents: str, system: str | None = None) -> Sample:
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    first = [{"role": "system", "content": system}] if system else []
    return Sample("row7", Path(), subtitle="unused", messages=tuple(first + messages))


def maker(*, fused: bool = False, max_tokens: int = 500) -> ExampleMaker:
    chat = ChatFormat(tokenizers.tokenizer("qwen25"))
    return ExampleMaker(chat, Prompt(system="Look."), LENGTHS, fused=fused, max_tokens=max_tokens)


def learnt(made: ExampleMaker, example) -> str:
    tokenizer = made.chat.tokenizer
    return tokenizer.decode([label for label in example.labels if label != IGNORED])


def test_placeholders_stand_where_the_messages_put_them() -> None:
    sample = row("<video>\n<audio>\nWhat is it?", "joy", "And <face> this?", "calm")
    turns = turns_of(sample, ["frame", "face", "audio"], system="Look.")
    assert turns == [
        Turn("system", ["Look."]),
        Turn("user", [Media("frame"), "\n", Media("audio"), "\nWhat is it?"]),
        Turn("assistant", ["joy"]),
        Turn("user", ["And ", Media("face"), " this?"]),
        Turn("assistant", ["calm"]),
    ]


def test_a_medium_that_is_absent_is_left_out_with_its_line() -> None:
    sample = row("<video>\n<audio>\nWhat is it?", "joy")
    (question, _) = turns_of(sample, ["frame"], system="")
    assert question.content == [Media("frame"), "\nWhat is it?"]
    (question, _) = turns_of(sample, [], system="")
    assert question.content == ["What is it?"]


@pytest.mark.parametrize(
    ("text", "there", "used"),
    [
        ("<video>", ["face"], ["face"]),  # the reader took faces
        ("<face>", ["frame"], ["frame"]),  # no face was found
        ("<image>", ["face"], ["face"]),
        ("<video> <face>", ["face"], ["face"]),  # no medium serves two
        ("<video> <face>", ["face", "frame"], ["face", "frame"]),
        ("<audio>", ["face", "audio"], ["audio"]),
        ("nothing", ["face", "audio"], []),
    ],
)
def test_what_a_placeholder_stands_for(text, there, used) -> None:
    assert media_of(row(text, "x"), there) == used
    parts = turns_of(row(text, "x"), there, system="")[0].content
    assert sorted(p.modality for p in parts if isinstance(p, Media)) == sorted(used)


def test_every_answer_is_supervised_and_only_named_media_are_used() -> None:
    made = maker(fused=True)
    sample = row("<video>\nWhat is it?", "joy", "Why?", "She smiles.")
    example = made.make(sample, {"frame": ARRAY, "audio": ARRAY}, question=None)
    assert learnt(made, example) == "joy<|im_end|>She smiles.<|im_end|>"
    assert list(example.media) == ["frame"]
    spans = [(span.modality, span.length) for span in example.spans]
    assert spans == [("frame", 2), ("multi", 1)]
    assert example.spans[1].start == example.spans[0].start + 2
    said = made.chat.tokenizer.decode(example.input_ids)
    assert "unused" not in said
    assert said.startswith("<|im_start|>system\nLook.<|im_end|>\n")
    text_only = made.make(row("Hello?", "hi"), {"frame": ARRAY}, question=None)
    assert not text_only.spans
    assert not text_only.media


def test_a_system_message_of_the_row_takes_the_prompts_place() -> None:
    made = maker()
    example = made.make(row("Hello?", "hi", system="Mine."), {}, question=None)
    said = made.chat.tokenizer.decode(example.input_ids)
    assert "Mine." in said
    assert "Look." not in said


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (row("a", "b", "c"), "user, assistant, user"),
        (row("a"), "messages of user"),
        (Sample("row7", Path(), subtitle="x"), "nobody"),
        (row("<face> <face>", "b"), "twice"),
        (row("<face>", "b", "<face>", "d"), "twice"),
    ],
)
def test_messages_that_are_no_chat_are_errors_of_the_row(sample, said) -> None:
    with pytest.raises(DataError, match=f"row row7(.|\n)*{said}"):
        maker().make(sample, {"face": ARRAY}, question=None)


def test_a_conversation_is_shortened_by_whole_exchanges_from_its_end() -> None:
    sample = row("<face>\nOne?", "first", "Two?", "second " * 30, "Three?", "third")
    whole = maker().make(sample, {"face": ARRAY}, question=None)
    assert whole.cut == ()
    made = maker(max_tokens=len(whole) - 1)
    two = made.make(sample, {"face": ARRAY}, question=None)
    assert two.cut == ("turns",)
    assert learnt(made, two).startswith("first<|im_end|>second second")
    assert learnt(made, two).endswith("second<|im_end|>")
    assert two.input_ids == whole.input_ids[: len(two)]
    made = maker(max_tokens=len(two) - 1)
    one = made.make(sample, {"face": ARRAY}, question=None)
    assert learnt(made, one) == "first<|im_end|>"
    assert [span.length for span in one.spans] == [3]
    with pytest.raises(DataError, match=rf"row row7: {len(one)} tokens"):
        maker(max_tokens=len(one) - 1).make(sample, {"face": ARRAY}, question=None)


def test_an_exchange_with_a_medium_is_never_cut() -> None:
    sample = row("One?", "first", "<face> Two?", "second")
    whole = maker().make(sample, {"face": ARRAY}, question=None)
    with pytest.raises(DataError, match=r"row row7: \d+ tokens"):
        maker(max_tokens=len(whole) - 1).make(sample, {"face": ARRAY}, question=None)
