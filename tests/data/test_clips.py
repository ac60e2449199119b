"""Rows with several media of a kind: their form, their placeholders, their places in a batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affect_mllm.data import manifest, placeholders, records
from affect_mllm.data.chat import ChatFormat
from affect_mllm.data.collate import collate
from affect_mllm.data.example import ExampleMaker
from affect_mllm.data.messages import turns_of, user_content
from affect_mllm.data.mixture import Draw
from affect_mllm.data.outline import Outliner, expected_of
from affect_mllm.data.template import Conversation, Instruction, Media, Prompt
from affect_mllm.types import DataError, Sample
from tests.data import tokenizers

LENGTHS = {"face": 3, "frame": 5, "image": 4, "audio": 2, "multi": 1}
PAIR = {"id": "q", "clips": [{"image": "a.png"}, {"name": "b", "video": "b.mp4", "end_s": 2}]}
CLIPS = {"1": ["image"], "b": ["video"]}


def pair(**more) -> Sample:
    """A picture called 1 and a video called b."""
    return records.sample_of({**PAIR, **more}, Path())


def maker(*, fused: bool = False, **prompt: str) -> ExampleMaker:
    chat = ChatFormat(tokenizers.tokenizer("qwen25"))
    return ExampleMaker(chat, Prompt(**prompt), LENGTHS, fused=fused, max_tokens=400)


def seen(names: str) -> dict[str, np.ndarray]:
    """Arrays that tell their item: the n-th is filled with n."""
    return {n: np.full((4, 3), i, np.float32) for i, n in enumerate(names.split(), start=1)}


def write(root: Path, *rows: dict, kind: str = "jsonl") -> Path:
    for name in ("a.png", "b.mp4"):
        (root / name).write_bytes(b"x")
    path = root / f"m.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        import pyarrow
        import pyarrow.parquet

        keys = dict.fromkeys(key for row in rows for key in row)
        whole = [{key: row.get(key) for key in keys} for row in rows]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(whole), path)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_row_is_read_and_written_again(tmp_path: Path, kind: str) -> None:
    alone = {"id": "z", "image": "a.png", "start_s": 1.5}
    (one, other) = manifest.read(write(tmp_path, PAIR, alone, kind=kind))
    assert [(c.name, c.media, c.end_s) for c in one.clips] == [
        ("1", {"image": "a.png"}, None),
        ("b", {"video": "b.mp4"}, 2),
    ]
    assert one.media == {}
    assert one.parts == one.clips
    assert other.parts == (other,)
    assert records.sample_of(records.row_of(one), tmp_path) == one
    assert records.row_of(other) == alone


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"clips": []}, "clips must be a non-empty list of objects"),
        ({"clips": [{"image": "a.png"}, "b.png"]}, "clips must be a non-empty list of objects"),
        ({"image": "a.png"}, "clips, and image beside them"),
        ({"start_s": 1.0}, "clips, and start_s beside them"),
        ({"labels_only": True}, "labels_only, but clips is named"),
        ({"clips": [{"image": "a.png"}, {"image": "no.png"}]}, "clip 2: image is missing: no.png"),
        ({"clips": [{"image": "a.png"}, {"name": "x"}]}, "clip x: none of video"),
        ({"clips": [{"image": "a.png", "name": "2"}, {"image": "a.png"}]}, "clip 2: the name is"),
        ({"clips": [{"image": "a.png", "name": "a b"}]}, "a clip's name must be letters"),
        ({"clips": [{"image": "a.png", "images": "a"}]}, "clip 1: unknown key images (did you"),
        ({"clips": [{"video": "b.mp4", "start_s": 3, "end_s": 2}]}, "clip 1: start_s must be bef"),
        ({"clips": [{"image": "a.png", "frames_fps": 0}]}, "clip 1: frames_fps must be a number"),
    ],
)
def test_what_is_wrong_with_a_row_names_its_line_and_clip(tmp_path, changes, said: str) -> None:
    with pytest.raises(DataError) as caught:
        manifest.read(write(tmp_path, {"id": "fine", "subtitle": "x"}, {**PAIR, **changes}))
    assert "m.jsonl:2: [q] " in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<image> <video>", ""),
        ("<video:b>, <image:1>", ""),
        ("<video> <face:1> <image>", ""),
        ("<image> <image> <video>", "2 × <image>; clips that have one: 1"),
        ("<image>", "no placeholder for clip b"),
        ("<image:1> <video:b> <image:1>", "<image:1> stands there twice"),
        ("<image:b> <video>", "<image:b> names no clip that has one (clips that do: 1)"),
        (
            "<face:1> <face>",
            "<face> stands there with a clip's name and without one: name all, or none",
        ),
        ("<face> <face> <face>", "3 × <face>; clips that have one: 1, b"),
    ],
)
def test_placeholders_have_to_fit_the_clips(tmp_path, text: str, said: str) -> None:
    assert placeholders.fault(placeholders.asked_for([text]), CLIPS) == said
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": "x"}]
    path = write(tmp_path, {**PAIR, "messages": turns})
    if said:
        with pytest.raises(DataError) as caught:
            manifest.read(path)
        assert f"m.jsonl:1: [q] messages: {said}" in str(caught.value)
        with pytest.raises(DataError, match="row q") as caught:
            maker().make(pair(), seen("image.1 frame.2"), question=text)
        assert said in str(caught.value)
    else:
        assert len(manifest.read(path)) == 1


def test_placeholders_stand_for_their_clips_by_name_or_in_order() -> None:
    kinds = {"x": ["video"], "y": ["image"], "z": ["video", "audio"]}
    for text, numbers in (("<video><image><video>", [1, 2, 3]), ("<video:z><video:x>", [3, 1])):
        assert placeholders.meant(placeholders.asked_for([text]), kinds) == numbers


def test_a_conversation_has_each_medium_at_its_place() -> None:
    said = ["Of <video:b>\n", "calm", "And <image:1>?", "sad"]
    roles = ["user", "assistant"] * 2
    turns = [{"role": r, "content": c} for r, c in zip(roles, said, strict=True)]
    sample = pair(messages=turns)
    first, _, second, _ = turns_of(sample, ["image.1", "frame.2", "audio.2", "multi"], system="")
    assert first.content == ["Of ", Media("frame.2"), "\n"]
    assert second.content == ["And ", Media("image.1"), Media("multi"), "?"]
    first, _, second, _ = turns_of(sample, ["face.1"], system="")
    assert (first.content, second.content) == (["Of "], ["And ", Media("face.1"), "?"])


def test_a_question_without_placeholders_comes_behind_all_clips() -> None:
    names = ["frame.2", "audio.2", "image.1"]
    content = user_content(Prompt(clip="<{}> "), pair(), names, "Oh.", "Which?")
    assert content == [
        "<1> Image: ", Media("image.1"), "\n<b> Video: ", Media("frame.2"), "\nVoice: ",
        Media("audio.2"), "\nSubtitle: Oh.\nWhich?",
    ]  # fmt: skip
    content = user_content(Prompt(), pair(), ["image.1"], None, "Which?")
    assert content == ["Clip 1\nImage: ", Media("image.1"), "\nWhich?"]


def test_a_question_with_placeholders_has_only_what_it_asks_for() -> None:
    example = maker(fused=True).make(
        pair(), seen("image.1 frame.2 audio.2"), question="Is <video:b> as <image:1>?"
    )
    assert [span.modality for span in example.spans] == ["frame.2", "image.1", "multi"]
    assert set(example.media) == {"image.1", "frame.2"}
    with pytest.raises(DataError, match="no picture, no sound"):
        maker().make(pair(), seen("audio.2"), question="<video> as <image>")


def test_a_row_with_one_medium_keeps_placeholders_of_its_question_as_text() -> None:
    sample = Sample("one", Path(), {"image": "a.png"})
    made = maker()
    example = made.make(sample, seen("image"), question="<image:b> or <image>?")
    assert [span.modality for span in example.spans] == ["image"]
    assert "<image:b> or <image>?" in made.chat.tokenizer.decode(example.input_ids)


def test_the_hash_of_a_prompt_is_what_it_was_unless_clips_are_called_otherwise() -> None:
    assert maker().prompt_hash("Which?") == maker(clip=Prompt.clip).prompt_hash("Which?")
    assert maker().prompt_hash("Which?") != maker(clip="{}: ").prompt_hash("Which?")


def outliner(dropout: float = 0.0) -> Outliner:
    asked = {
        "label": Instruction(("Which?",), "{emotion}", droppable=True),
        "voice": Instruction(("How?",), "{emotion}", only=("audio",)),
        "chat": Conversation(),
    }
    return Outliner(maker(), asked, "frame", modality_dropout=dropout, encoded=False)


def test_a_plan_counts_every_clip_and_hides_a_modality_in_all() -> None:
    clips = [{"video": "a.mp4"}, {"video": "b.mp4"}]
    sample = records.sample_of({"id": "v", "clips": clips, "labels": {"emotion": "joy"}}, Path())
    assert expected_of(sample, "frame") == ["audio.1", "frame.1", "audio.2", "frame.2"]
    plan = outliner().outline(Draw(sample, "label", (1, 0)))
    assert plan is not None
    assert plan.load.units == 32, "two videos and two voices"
    found = seen("frame.1 audio.1 frame.2 audio.2")
    assert plan.load.tokens == len(outliner().example(plan, found))
    voice = outliner().outline(Draw(sample, "voice", (1, 0)))
    assert voice.shown(found) == ["audio.1", "audio.2"]
    kept = [outliner(1.0).outline(Draw(sample, "label", (1, i))).shown(found) for i in range(20)]
    assert {tuple(each) for each in kept} == {("frame.1", "frame.2"), ("audio.1", "audio.2")}


def test_items_of_an_example_are_packed_in_the_order_of_their_spans() -> None:
    made = maker()
    several = made.make(
        pair(), seen("image.1 frame.2"), question="<video:b> <image:1>", answer="yes"
    )
    clips = [{"image": f"{i}.png"} for i in range(11)]
    many = records.sample_of({"id": "m", "clips": clips}, Path())
    names = " ".join(f"image.{i}" for i in range(1, 12))
    eleven = made.make(many, seen(names), question="Which?", answer="x")
    turned = " ".join(f"<image:{i}>" for i in range(11, 0, -1))
    back = made.make(many, seen(names), question=turned, answer="x")
    for row_tokens in (0, 1000):
        batch = collate([several, eleven, back], pad_id=0, row_tokens=row_tokens)
        images = batch.media["image"]
        assert images.examples == (0, *[1] * 11, *[2] * 11)
        assert images.values[:, 0, 0].tolist() == [1, *range(1, 12), *range(11, 0, -1)]
        assert batch.media["frame"].examples == (0,)
        for number in (1, 2):
            spans = [span for span in batch.spans if span.example == number]
            assert {span.modality for span in spans} == {"image"}
            assert [span.item for span in spans] == list(range(11))
            assert [s.start for s in spans] == sorted(s.start for s in spans)


def test_a_clip_that_cannot_be_read_is_named() -> None:
    from affect_mllm.data.reader import Reader

    sample = replace(pair(), clips=tuple(replace(c, root=Path("/nowhere")) for c in pair().clips))
    with pytest.raises(DataError, match=r"clip 1, /nowhere/a.png"):
        Reader(visual="frame").read(sample, {"image": np.asarray})
