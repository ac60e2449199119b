"""A server's model that hears gets sounds as parts of their own, as a wav of 16 kHz."""

from __future__ import annotations

import base64
import io
import wave

import numpy as np
import pytest

from affect_mllm.eval.generate.endpoint import EndpointModel
from affect_mllm.eval.generate.other import OtherAsker
from affect_mllm.eval.generate.parts import Sound, Turn
from affect_mllm.eval.generate.question import Question
from affect_mllm.eval.generate.views import View
from affect_mllm.types import ConfigError
from tests.eval.server import served


def heard(part: dict) -> np.ndarray:
    assert part["input_audio"]["format"] == "wav"
    with wave.open(io.BytesIO(base64.b64decode(part["input_audio"]["data"]))) as stream:
        assert (stream.getframerate(), stream.getnchannels(), stream.getsampwidth()) == (
            16000,
            1,
            2,
        )
        return np.frombuffer(stream.readframes(stream.getnframes()), "<i2") / 32768


def test_the_wave_arrives_but_for_rounding() -> None:
    sound = np.concatenate([np.sin(np.arange(4000) / 9), [1.0, -1.0, 1.5]]).astype(np.float32)
    with served(lambda _b, _n: (200, "sad")) as seen:
        EndpointModel(seen.url, "m", hears=True).generate(
            [Turn((Sound(sound), "How?"))], system="", max_new_tokens=4
        )
    first, text = seen.requests[0]["messages"][0]["content"]
    assert (first["type"], text["text"]) == ("input_audio", "How?")
    assert np.abs(heard(first) - sound.clip(-1, 1)).max() <= 1 / 32768


def test_what_was_heard_stands_in_the_row(tiny) -> None:
    with served(lambda _b, _n: (200, "sad")) as seen:
        hearing, deaf = (
            OtherAsker(EndpointModel(seen.url, "m", hears=h), tiny.data.reader, "", 4)
            for h in (True, False)
        )
        (row,) = hearing.answer([tiny.samples[2]], Question("How?"))
        (other,) = deaf.answer([tiny.samples[2]], Question("How?"))
        assert ("audio" in row["modalities"], "audio" in other["modalities"]) == (True, False)
        kinds = [{p["type"] for p in b["messages"][0]["content"]} for b in seen.requests]
        assert ["input_audio" in each for each in kinds] == [True, False]
        with pytest.raises(ConfigError, match="cannot hear"):
            next(deaf.answer([tiny.samples[2]], Question("How?"), View(("audio",))))
    assert hearing.model.name != deaf.model.name
