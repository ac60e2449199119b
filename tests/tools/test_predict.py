"""`affect-mllm predict`: one clip, photo, sound or text, answered from what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import affect_mllm
from affect_mllm.eval.ranks import Ranks
from affect_mllm.tools.app import main
from affect_mllm.tools.pipeline import Pipeline
from affect_mllm.tools.predict import predict
from affect_mllm.types import CheckpointError, ConfigError, DataError
from tests.media import clips


@pytest.fixture(scope="module")
def checkpoint(tiny_run: Path) -> Path:
    return tiny_run / "instruct/final"


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Pipeline:
    return affect_mllm.load(checkpoint)


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    clips.make_video(folder / "video.mp4", frames=12, sound_s=0.5)
    clips.make_video(folder / "mute.mp4", frames=12)
    clips.make_image(folder / "photo.png")
    clips.make_sound(folder / "voice.wav", duration_s=0.4)
    return folder


def ask(
    clip: Path | None,
    model: Pipeline,
    subtitle: str | None = None,
    question: str | None = "Which?",
):
    return predict(model, clip, subtitle=subtitle, question=question)


@pytest.mark.parametrize(
    ("name", "subtitle", "modalities"),
    [
        ("video.mp4", "I won!", ["frame", "audio", "text"]),
        ("video.mp4", None, ["frame", "audio"]),
        ("mute.mp4", None, ["frame"]),
        ("photo.png", None, ["image"]),
        ("voice.wav", None, ["audio"]),
        (None, "I won!", ["text"]),
    ],
)
def test_whatever_is_there_is_used(media, model, name, subtitle, modalities) -> None:
    result = ask(media / name if name else None, model, subtitle)
    assert result["modalities"] == modalities
    assert isinstance(result["answer"], str)
    said = {*modalities, "multi"} - {"text"}
    assert set(result["gate"]) == (said if said != {"multi"} else set())
    warned = " ".join(result["warnings"])
    assert ("no sound" in warned) == (name == "mute.mp4")
    assert ("no face" in warned) == bool({"frame", "image"} & set(modalities))


def test_the_usual_questions_are_asked_without_one(media, model) -> None:
    result = ask(media / "photo.png", model, question=None)
    assert {"label", "open_vocabulary", "describe"} <= set(result)


def test_nothing_at_all_is_wrong_use(model) -> None:
    with pytest.raises(ConfigError, match="neither a clip nor a subtitle"):
        ask(None, model)


@pytest.mark.parametrize("given", [{"subtitle": "so \udcff"}, {"question": "\ud83d?"}])
def test_bytes_of_a_terminal_that_are_no_text_are_wrong_use(model, given) -> None:
    (name,) = given
    with pytest.raises(ConfigError, match=f"--{name}: ") as caught:
        ask(None, model, **({"subtitle": "I won!"} | given))
    str(caught.value).encode()


def test_no_checkpoint_and_no_clip_are_told_apart(media, model, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        affect_mllm.load(tmp_path / "none")
    with pytest.raises(DataError, match=r"none\.mp4"):
        ask(media / "none.mp4", model)


def test_the_command_prints_json_and_nothing_else(media, checkpoint, capsys) -> None:
    given = ["predict", str(media / "photo.png"), "--checkpoint", str(checkpoint)]
    capsys.readouterr()
    with pytest.raises(SystemExit) as leave:
        main([*given, "--question", "Which?", "--json"])
    assert leave.value.code == 0
    assert json.loads(capsys.readouterr().out)["modalities"] == ["image"]
    with pytest.raises(SystemExit) as leave:
        main(["predict", "--checkpoint", str(checkpoint)])
    assert leave.value.code == 2


def test_the_model_computes_where_this_process_does(checkpoint, monkeypatch) -> None:
    """On the device that `ranks()` names; here it is one that has no numbers, and says so."""
    monkeypatch.setattr(Ranks, "device", property(lambda _: torch.device("meta")))
    model = affect_mllm.load(checkpoint)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        predict(model, None, subtitle="I am glad.", question="Which emotion?")
