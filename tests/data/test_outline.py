"""Plans of a step, made from rows alone, against what reading the files then gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affect_mllm.data.chat import ChatFormat
from affect_mllm.data.example import ExampleMaker
from affect_mllm.data.mixture import Draw
from affect_mllm.data.outline import Outliner, expected_of
from affect_mllm.data.packing import Load
from affect_mllm.data.template import Conversation, Instruction, Prompt
from affect_mllm.types import DataError, Placeholder, Sample
from tests.data import tokenizers

LENGTHS = {"face": 3, "frame": 5, "image": 4, "audio": 2, "multi": 1}
ARRAY = np.zeros((4, 3), np.float32)
INSTRUCTIONS = {
    "label": Instruction(("Which?", "What?"), "{emotion}", droppable=True),
    "voice": Instruction(("How?",), "{emotion}", only=("audio",)),
    "face": Instruction(("How?",), "{emotion}", only=("face",)),
    "chat": Conversation(),
}


@pytest.fixture(scope="module")
def outliner() -> Outliner:
    chat = ChatFormat(tokenizers.tokenizer("qwen25"))
    maker = ExampleMaker(chat, Prompt(), LENGTHS, fused=True, max_tokens=400)
    return Outliner(maker, INSTRUCTIONS, encoded=False)


def row(*kinds: str, subtitle: str | None = "Fine.", **more) -> Sample:
    media = {kind: f"{kind}.x" for kind in kinds}
    return Sample("row7", Path(), media, subtitle=subtitle, labels={"emotion": "happy"}, **more)


def draw(sample: Sample, name: str = "label", place: int = 0) -> Draw:
    return Draw(sample, name, (1, place))


@pytest.mark.parametrize(
    ("kinds", "visual", "expected"),
    [
        (("video",), "face", ["audio", "face"]),
        (("video",), "frame", ["audio", "frame"]),
        (("audio",), "face", ["audio"]),
        (("image",), "face", ["face"]),
        (("image",), "frame", ["image"]),
        (("frames", "audio"), "frame", ["audio", "frame"]),
        (("faces",), "face", ["face"]),
        (("features.frame", "features.audio"), "face", ["audio", "frame"]),
        (("video", "features.image"), "face", ["audio", "image"]),
        ((), "face", []),
    ],
)
def test_what_a_row_should_give(kinds, visual, expected) -> None:
    assert expected_of(row(*kinds), visual) == expected


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("video",), ["audio", "frame", "image"]),
        (("video", "features.face"), ["audio", "face", "frame", "image"]),
        (("image",), ["image"]),
        (("faces",), []),
        (("features.frame",), ["frame"]),
    ],
)
def test_what_a_row_should_give_where_a_still_is_taken(kinds, expected) -> None:
    assert expected_of(row(*kinds), "frame", still=True) == expected


def test_the_plan_is_the_example_where_all_is_as_the_row_says(outliner) -> None:
    sample = row("video")
    outline = outliner.outline(draw(sample))
    assert outline is not None
    example = outliner.example(outline, {"audio": ARRAY, "face": ARRAY})
    assert example is not None
    assert outline.load == Load(len(example), 16.0)
    assert {span.modality: span.length for span in example.spans} == {
        "face": 3,
        "audio": 2,
        "multi": 1,
    }
    again = outliner.maker.make(
        sample,
        {"face": ARRAY, "audio": ARRAY},
        question=outline.question,
        answer="happy",
        encoded=False,
    )
    assert (example.input_ids, example.labels, example.spans) == (
        again.input_ids,
        again.labels,
        again.spans,
    )


@pytest.mark.parametrize("there", [{"audio"}, {"frame", "audio"}, {"frame"}, set()])
def test_what_was_read_decides_the_example(outliner, there) -> None:
    """No face was found, the clip has no sound, or neither is there."""
    outline = outliner.outline(draw(row("video")))
    example = outliner.example(outline, dict.fromkeys(there, ARRAY))
    assert set(example.media) == there
    assert {span.modality for span in example.spans} == there | ({"multi"} if there else set())
    assert ("Voice: " in outliner.maker.chat.tokenizer.decode(example.input_ids)) == (
        "audio" in there
    )


def test_a_question_about_what_is_not_there_is_no_example(outliner) -> None:
    assert outliner.outline(draw(row("image"), "voice")) is None
    silent = outliner.outline(draw(row("video"), "voice"))
    assert outliner.example(silent, {"face": ARRAY}) is None
    faceless = outliner.outline(draw(row("video"), "face"))
    assert outliner.example(faceless, {"frame": ARRAY, "audio": ARRAY}) is None
    with pytest.raises(DataError, match="row7: no picture"):
        outliner.outline(draw(row(subtitle=None)))


def test_modality_dropout_hides_the_same_whatever_the_files_hold(outliner) -> None:
    """The choice is the row's and the place's; frames in place of a hidden face are hidden too."""
    dropping = replace(outliner, modality_dropout=1.0)
    kept = set()
    for place in range(60):
        outline = dropping.outline(draw(row("video"), place=place))
        assert outline.hidden
        found = []
        for media in ({"face": ARRAY, "audio": ARRAY}, {"audio": ARRAY, "frame": ARRAY}):
            example = dropping.example(outline, media)
            said = dropping.maker.chat.tokenizer.decode(example.input_ids)
            names = {name.replace("frame", "face") for name in example.media}
            found.append(frozenset(names | ({"text"} if "Subtitle" in said else set())))
        assert found[0] == found[1] == {"face", "audio", "text"} - outline.hidden
        kept.add(found[0])
    assert len(kept) == 6, "every proper subset comes up"


def test_conversations_take_the_media_that_they_name(outliner) -> None:
    turns = ({"role": "user", "content": "<video> Why?"}, {"role": "assistant", "content": "So."})
    sample = row("video", messages=turns)
    outline = outliner.outline(draw(sample, "chat"))
    assert outline.load.units == 8
    example = outliner.example(outline, {"face": ARRAY, "audio": ARRAY})
    assert list(example.media) == ["face"]
    assert len(example) == outline.load.tokens
    without = outliner.example(outline, {"audio": ARRAY})
    assert not without.media


def test_media_of_unknown_size_are_planned_with_a_guess(outliner) -> None:
    def rule(array: np.ndarray) -> Placeholder:
        return Placeholder(len(array) * 10)

    maker = replace(outliner.maker, span_lengths={"frame": rule}, fused=False, assumed_tokens=99)
    other = replace(outliner, maker=maker, visual="frame")
    outline = other.outline(draw(row("video")))
    example = other.example(outline, {"frame": ARRAY})
    assert [span.length for span in example.spans] == [40]
    assert outline.load.tokens == len(example) + 59


def test_states_from_the_cache_are_no_encoder_work(outliner) -> None:
    cached = replace(outliner, encoded=True)
    assert cached.outline(draw(row("video"))).load.units == 0
