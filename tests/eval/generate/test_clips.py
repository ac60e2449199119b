"""Rows with several clips are cached, asked, validated and shown to other VLMs as any row is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import affect_mllm
from affect_mllm.data import manifest
from affect_mllm.data.features import ensure
from affect_mllm.data.reader import Reader
from affect_mllm.eval.chat import Reply
from affect_mllm.eval.generate.asking import Asker
from affect_mllm.eval.generate.other import OtherAsker
from affect_mllm.eval.generate.question import Question
from affect_mllm.eval.generate.views import View, donors, has
from affect_mllm.media.sampling import Sampling
from affect_mllm.tools.validation import validate
from affect_mllm.types import Sample

QUESTION = Question("", of_row=lambda sample: sample.labels["question"])
SAID = "<video:b> before <video:a>?"


@pytest.fixture(scope="module")
def clips(tiny) -> list[dict]:
    """Two videos with sound, called a and b, as rows of the corpus name them."""
    videos = [s.media["video"] for s in tiny.samples if "video" in s.media][:3]
    return [{"name": n, "video": v} for n, v in zip("ab", (videos[0], videos[2]), strict=True)]


def rows(tiny, *given: dict) -> list[Sample]:
    path = tiny.root / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return list(manifest.read(path))


@pytest.fixture
def asker(tiny, tiny_run, tmp_path: Path) -> Asker:
    model = affect_mllm.load(tiny_run / "instruct/final").model
    data = replace(tiny.data, cache_dir=str(tmp_path / "features"))
    features = data.features(model.transforms(), model.fingerprint(), limits=model.limits())
    return Asker(model, tiny.maker(model), features, "abc", batch_size=3, max_new_tokens=4)


def test_a_clip_is_encoded_once_for_all_rows_that_have_it(tiny, asker, clips) -> None:
    alone = {"id": "a", "video": clips[0]["video"], "labels": {"question": "Which?"}}
    pair = {"id": "p", "clips": clips, "labels": {"question": SAID}}
    back = {"id": "q", "clips": clips[::-1], "labels": {"question": "Which of them?"}}
    made = rows(tiny, alone, pair, back)
    encoded: list[int] = []

    def encode(arrays):
        encoded.append(len(arrays))
        return asker.model.encode_clip(arrays)

    ensure(asker.features, made, encode, max_bad_fraction=0)
    assert len(encoded) == 2
    assert not any(map(asker.features.lacks, made))
    one, two, turned = (asker.features.clip(sample).arrays for sample in made)
    assert np.array_equal(one["frame"], two["frame.1"])
    assert np.array_equal(two["frame.2"], turned["frame.1"])
    found = {row["id"]: row for row in asker.answer(made, QUESTION)}
    assert not any("error" in row for row in found.values())
    assert found["a"]["modalities"] == ["frame", "audio"]
    assert found["p"]["modalities"] == ["frame"], "the question asks for no sound"
    assert found["q"]["modalities"] == ["frame", "audio"]
    heard = {r["id"]: r for r in asker.answer(made, QUESTION, View(("audio",)))}
    assert heard["q"]["modalities"] == ["audio"]
    assert "no picture, no sound" in heard["p"]["unseen"]
    alone_again = replace(asker, features=replace(asker.features, cache=None), batch_size=1)
    for row in alone_again.answer(made, QUESTION):
        assert row["response"] == found[row["id"]]["response"], "neither batch nor cache matters"


def test_a_second_clip_that_does_not_decode_is_named(tiny, asker, clips) -> None:
    (tiny.root / "torn.mp4").write_bytes((tiny.root / clips[0]["video"]).read_bytes()[:300])
    torn = [clips[0], {"name": "b", "video": "torn.mp4"}]
    made = rows(tiny, {"id": "p", "clips": torn, "labels": {"question": SAID}})
    (problem,) = validate(tiny.root / "pairs.jsonl", decode=True)[0].problems
    assert str(problem).startswith("1: [p] clip b: video cannot be decoded: ")
    (row,) = replace(asker, features=replace(asker.features, cache=None)).answer(made, QUESTION)
    assert row["error"].startswith("clip b, ")
    assert "torn.mp4" in row["error"]


def test_a_swap_takes_clips_of_the_same_places(tiny, clips) -> None:
    one = {"id": "p", "clips": clips, "labels": {"emotion": "a"}}
    still = {"id": "s", "clips": [clips[0], {"frames": "x"}], "labels": {"emotion": "b"}}
    other = {"id": "q", "clips": clips[::-1], "labels": {"emotion": "b"}}
    (tiny.root / "x").mkdir(exist_ok=True)
    (tiny.root / "x" / "0.png").write_bytes(b"x")
    made = rows(tiny, one, still, other)
    assert all(has(sample, "audio") for sample in made)
    found = donors(made, "audio", lambda sample: sample.labels["emotion"])
    assert {mine: theirs.id for mine, theirs in found.items()} == {"p": "q", "q": "p"}


def test_another_vlm_sees_the_pictures_where_the_question_has_them(tiny, clips) -> None:
    class Watcher:
        name, sees, hears, films = "watcher", True, False, False

        def generate(self, turns, *, system, max_new_tokens, drawn):
            self.turns = turns
            return [Reply("b", "stop")] * len(turns)

    reader = Reader(sampling=Sampling(frames=2), visual="frame")
    vlm = Watcher()
    made = rows(
        tiny,
        {"id": "p", "clips": clips, "labels": {"question": SAID}},
        {"id": "q", "clips": clips, "subtitle": "Oh.", "labels": {"question": "Which?"}},
    )
    found = list(OtherAsker(vlm, reader, "", 4).answer(made, QUESTION))
    assert [row["modalities"] for row in found] == [["frame"], ["frame", "text"]]
    said = [[p if isinstance(p, str) else "picture" for p in turn.parts] for turn in vlm.turns]
    assert said[0] == ["\n", "picture", "picture", " before ", "picture", "picture", "?"]
    assert said[1] == ["Clip a\n", "picture", "picture", "Clip b\n", "picture", "picture",
                       "Subtitle: Oh.\n\nWhich?"]  # fmt: skip
    asked, shown = (turn.pictures for turn in vlm.turns)
    assert np.array_equal(asked[:2], shown[2:])
    assert np.array_equal(asked[2:], shown[:2])
