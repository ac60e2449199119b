"""Videos as one part of a question, as a model's own video processor takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from affect_mllm.eval.generate.hf import HF
from affect_mllm.eval.generate.other import OtherAsker
from affect_mllm.eval.generate.parts import Film, Turn
from affect_mllm.eval.generate.question import Question
from affect_mllm.types import CheckpointError
from tests import tiny_omni, tiny_vlm

hf: Any = transformers
KINDS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen2_5_omni", "qwen3_omni_moe")
LENGTH = 5


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    """Function: kind → folder of a tiny one whose template has a place for a video."""
    root = tmp_path_factory.mktemp("films")

    def of(kind: str) -> Path:
        omni = "omni" in kind
        folder = tiny_omni.build(root, kind) if omni else tiny_vlm.build(tiny, root, kind)
        processor = hf.AutoProcessor.from_pretrained(folder)
        written = processor.chat_template if omni else tiny_vlm.CHAT
        start = "{% elif" if omni else "{% if"
        token = processor.video_token
        ends = ("<|vision_start|>", "<|vision_end|>")
        place = token if kind == "qwen3_vl" else f"{ends[0]}{token}{ends[1]}"
        before = f"{start} part.type == 'image' %}}"
        film = f"{start} part.type == 'video' %}}{place}{{% elif part.type == 'image' %}}"
        assert before in written
        processor.chat_template = written.replace(before, film)
        processor.save_pretrained(folder)
        return folder

    return of


def film(seed: int, frames: int, step_s: float) -> Film:
    times_s = tuple(0.25 + step_s * number for number in range(frames))
    return Film(tiny_vlm.pictures(seed, frames, 60, 90), times_s)


def turns() -> list[Turn]:
    return [
        Turn((film(1, 4, 0.5), "Which emotion?")),
        Turn((film(2, 3, 1.25), "Subtitle: oh\nWhich?")),
        Turn((tiny_vlm.pictures(3, 1, 60, 90)[0], "A picture alone?")),
        Turn(("Words alone.",)),
    ]


def answers(model: HF, asked: list[Turn]) -> list[str]:
    replies = model.generate(asked, system="Look.", max_new_tokens=LENGTH)
    assert not [reply.error for reply in replies if reply.error]
    return [reply.text for reply in replies]


def given_to(model: HF, turn: Turn, monkeypatch) -> dict[str, Any]:
    """What the model's `generate` gets."""
    net, seen = model._parts()["net"], []
    generate = net.generate

    def watched(**given):
        seen.append(given)
        return generate(**given)

    with monkeypatch.context() as patched:
        patched.setattr(net, "generate", watched)
        answers(model, [turn])
    return seen[0]


@pytest.mark.parametrize("kind", KINDS)
def test_beside_each_other_they_are_answered_as_alone(made, kind) -> None:
    model = HF(str(made(kind)), "float32", batch_size=4, video="native")
    asked = turns()
    alone = [answers(model, [turn])[0] for turn in asked]
    assert answers(model, asked) == alone
    assert len(set(alone)) > 1, "what is shown and asked must matter"


def test_times_of_its_pictures_are_written_into_qwen3s_prompt(made, monkeypatch) -> None:
    """A step is two pictures: seen at 0.25 and 0.75 s, and at 1.25 and 1.75 s."""
    model = HF(str(made("qwen3_vl")), "float32", video="native")
    given = given_to(model, Turn((film(1, 4, 0.5), "Which?")), monkeypatch)
    said = model._parts()["processor"].tokenizer.decode(given["input_ids"][0])
    assert "<0.5 seconds>" in said
    assert "<1.5 seconds>" in said


@pytest.mark.parametrize(
    ("kind", "name"),
    [("qwen2_5_vl", "second_per_grid_ts"), ("qwen2_5_omni", "video_second_per_grid")],
)
def test_positions_are_counted_from_seconds_that_keep_their_dtype(
    made, kind, name, monkeypatch
) -> None:
    """1.3 s a picture, 2.6 s a step of two: in bf16 it would be 2.59375."""
    model = HF(str(made(kind)), "bfloat16", video="native")
    given = given_to(model, Turn((film(1, 4, 1.3), "Which?")), monkeypatch)
    assert torch.as_tensor(given[name]).tolist() == pytest.approx([2.6], rel=1e-6)
    assert given["pixel_values_videos"].dtype == torch.bfloat16


def test_two_rates_in_one_question_cost_an_omni_model_that_row(made) -> None:
    both = Turn((film(1, 4, 0.5), "Clip b\n", film(2, 4, 1.5), "Which is happier?"))
    omni = HF(str(made("qwen2_5_omni")), "float32", video="native")
    refused, asked = omni.generate([both, turns()[0]], system="", max_new_tokens=2)
    assert "2, 0.667 pictures a second" in (refused.error or "")
    assert asked.error is None
    plain = HF(str(made("qwen2_5_vl")), "float32", video="native")
    assert answers(plain, [both])


def test_words_that_spell_a_videos_token_cost_that_row_alone(made) -> None:
    model = HF(str(made("qwen2_5_vl")), "float32", batch_size=4, video="native")
    first, second, *_ = turns()
    token = model._parts()["processor"].video_token
    spelt = Turn((film(5, 4, 0.5), f"Subtitle: {token}\nWhich?"))
    replies = model.generate([first, spelt, second], system="Look.", max_new_tokens=LENGTH)
    assert token in (replies[1].error or "")
    assert [replies[0].text, replies[2].text] == answers(model, [first, second])


def test_a_row_is_shown_as_a_film_of_what_the_reader_looks_at(tiny, made) -> None:
    class Watcher(HF):
        def generate(self, turns, **how):
            shown.extend(turns)
            return super().generate(turns, **how)

    shown: list[Turn] = []
    rows = [sample for sample in tiny.samples if "video" in sample.media][:2]
    native = Watcher(str(made("qwen2_5_vl")), "float32", video="native")
    plain = Watcher(str(made("qwen2_5_vl")), "float32")
    question = Question("emotion", lambda sample: "Which emotion?")
    for model in (native, plain):
        said = list(OtherAsker(model, tiny.data.reader, "Look.", LENGTH).answer(rows, question))
        assert [row["modalities"][0] for row in said] == ["frame", "frame"]
    for one, other in zip(shown[:2], shown[2:], strict=True):
        (whole,) = one.films
        assert np.array_equal(whole.pictures, np.stack(other.pictures))
        assert len(whole.times_s) == len(whole.pictures)
        assert list(whole.times_s) == sorted(set(whole.times_s))
    assert native.name != plain.name


def test_a_model_without_a_place_for_videos_is_refused(tiny, made, tmp_path) -> None:
    folder = tiny_vlm.with_chat(tiny, tmp_path)
    with pytest.raises(CheckpointError, match="no place for a video"):
        answers(HF(str(folder), "float32", video="native"), turns()[:1])
    audio = HF(str(tiny_omni.build(tmp_path, "qwen2_audio")), "float32", video="native")
    with pytest.raises(CheckpointError, match="takes no videos"):
        answers(audio, turns()[3:])
