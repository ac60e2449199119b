"""What becomes of messages: the row, the prompt, and answers that are those of the same row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from affect_mllm.data.template import Media, Turn
from affect_mllm.eval.generate.question import Question
from affect_mllm.tools.pipeline import Pipeline
from affect_mllm.tools.seen import see
from affect_mllm.tools.serve.answerer import _check_taken
from affect_mllm.tools.serve.body import Message
from affect_mllm.tools.serve.bounds import Bounds
from affect_mllm.tools.serve.makers import makers
from affect_mllm.tools.serve.talk import Talk, talk_of
from affect_mllm.types import DataError, Sample
from tests.tools.serve.served import asked, part, request, said, text_of


def talk(folder: Path, *messages: dict[str, Any], subtitle: str | None = None) -> Talk:
    read = [Message.model_validate(each) for each in messages]
    return talk_of(read, id="a", subtitle=subtitle, folder=folder, bounds=Bounds())


def prompt(model: Pipeline, told: Talk) -> tuple[list[int], dict[str, Any]]:
    """The ids of its prompt, and what is read of its media."""
    seen = see(model.features(), told.sample)
    maker = makers(model.maker(), {"a": told.around})
    made = maker.make(told.sample, seen.clip.arrays, question=told.question, encoded=False)
    return made.input_ids, seen.clip.arrays


def test_every_turn_stands_in_the_prompt_where_it_was_said(
    model: Pipeline, files, tmp_path: Path
) -> None:
    chat = said("Be brief.", role="system")
    told = talk(tmp_path, chat, said("Hello."), said("Hi!", role="assistant"),
                said(part(files["sound"]), "Who is it?"), said("Ann.", role="assistant"),
                said("Why?", "Say it."))  # fmt: skip
    ids, arrays = prompt(model, told)
    rules = model.model.span_lengths()
    places = {"audio": rules["audio"](arrays["audio"]) if callable(rules["audio"])
              else rules["audio"], "multi": rules["multi"]}  # fmt: skip
    lines = model.data.prompt.media(["audio", "multi"])
    expected = [
        Turn("system", ["Be brief."]),
        Turn("user", ["Hello."]),
        Turn("assistant", ["Hi!"]),
        Turn("user", [*lines, "Who is it?"]),
        Turn("assistant", ["Ann."]),
        Turn("user", ["Why?\nSay it."]),
    ]
    assert any(isinstance(each, Media) for each in lines)
    assert ids == model.maker().chat.render(expected, places).input_ids


def test_without_a_system_message_the_checkpoints_own_stands(
    model: Pipeline, files, tmp_path: Path
) -> None:
    told = talk(tmp_path, said(part(files["red"]), "Why?"))
    ids, arrays = prompt(model, told)
    own = model.maker().make(told.sample, arrays, question="Why?", encoded=False)
    assert ids == own.input_ids
    none, _ = prompt(
        model, talk(tmp_path, said("", role="system"), said(part(files["red"]), "Why?"))
    )
    assert len(none) < len(ids)


def test_words_alone_are_asked(url: str, model: Pipeline) -> None:
    turns = [Turn("system", [model.data.prompt.system]), Turn("user", ["Are you sad?"])]
    reply = asked(url, request(said("Are you sad?")))
    assert text_of(reply)
    ids = model.maker().chat.render(turns, {}).input_ids
    assert reply.json()["usage"]["prompt_tokens"] == len(ids)
    assert reply.json()["affect_mllm"]["modalities"] == ["text"]


def test_a_picture_and_a_sound_are_one_row(url: str, model: Pipeline, files) -> None:
    row = Sample("x", Path("/"), {"image": str(files["red"]), "audio": str(files["sound"])})
    reply = asked(url, request(said(part(files["red"]), part(files["sound"]), "Why?")))
    assert reply.json()["affect_mllm"]["modalities"] == ["image", "audio"]
    assert text_of(reply) == own_answer(model, row, "Why?")


def test_several_pictures_stand_where_they_were_shown(url: str, model: Pipeline, files) -> None:
    clips = tuple(
        Sample(f"x.{n}", Path("/"), {kind: str(files[name])}, name=str(n))
        for n, (kind, name) in enumerate(
            [("image", "red"), ("image", "green"), ("video", "clip")], 1
        )
    )
    row = Sample("x", Path("/"), clips=clips)
    shown = (part(files["red"]), "or", part(files["green"]), part(files["clip"]), "Which?")
    reply = asked(url, request(said(*shown)))
    words = "<image>\nor\n<image>\n<video>\n<audio>\nWhich?"
    assert text_of(reply) == own_answer(model, row, words)
    other = (part(files["green"]), "or", part(files["red"]), part(files["clip"]), "Which?")
    assert text_of(asked(url, request(said(*other)))) != text_of(reply)


def own_answer(model: Pipeline, row: Sample, words: str) -> str:
    """What an evaluation's asker gets of a manifest's row."""
    seen = see(model.features(), row)
    (found,) = model.asker([seen], max_new_tokens=8).answer([row], Question(words))
    return str(found["response"])


def test_a_medium_that_the_model_does_not_take_is_refused(
    model: Pipeline, files, tmp_path: Path
) -> None:
    told = talk(tmp_path, said(part(files["red"]), part(files["sound"]), "Why?"))
    seen = see(model.features(), told.sample)
    both = ("image", "audio")
    _check_taken(seen, both)
    deaf = {name: array for name, array in seen.clip.arrays.items() if name != "audio"}
    for warnings, takes in (((), both), (("no face found",), ("image",))):
        clip = replace(seen.clip, arrays=deaf, warnings=warnings)
        with pytest.raises(DataError, match="takes no audio"):
            _check_taken(replace(seen, clip=clip), takes)
    said_why = replace(seen.clip, arrays=deaf, warnings=("its sound is too short",))
    _check_taken(replace(seen, clip=said_why), both)
