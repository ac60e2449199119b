"""Requests of lmms-eval: what becomes a row, what ends an answer, what is refused; and answers.

lmms-eval itself does not install beside Hydra (its LaTeX parser pins another ANTLR), so requests
are made here as it makes them: `args` of (context, messages of a row, settings, row, task, split).
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from affect_mllm.media.audio import read_audio
from affect_mllm.tools.lmms_eval.model import ChatModel
from affect_mllm.tools.lmms_eval.request import asked
from affect_mllm.types import ConfigError

GREEDY = {"max_new_tokens": 16, "temperature": 0, "do_sample": False}


def said(*parts: tuple[str, Any]) -> list[dict[str, Any]]:
    content = [{"type": kind, "text" if kind == "text" else "url": value} for kind, value in parts]
    return [{"role": "user", "content": content}]


def test_media_in_memory_become_files_and_files_stay(tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 6), "red")
    sound = {"array": np.sin(np.arange(8000) / 5), "sampling_rate": 16000}
    clip = tmp_path / "clip.mp4"
    parts = ("image", picture), ("audio", sound), ("video", str(clip)), ("text", "<image 1>What?")
    found = asked("7", said(*parts), GREEDY, tmp_path / "made")
    assert (found.question, found.max_new_tokens) == ("What?", 16)
    assert found.sample.path("video") == clip
    with Image.open(found.sample.path("image")) as written:
        assert (written.size, written.getpixel((0, 0))) == ((8, 6), (255, 0, 0))
    heard = read_audio(found.sample.path("audio"))
    assert heard is not None
    assert heard.size == 8000


def test_an_answer_ends_at_the_first_text_that_ends_it(tmp_path: Path) -> None:
    settings = GREEDY | {"until": ["\n\n", "ASSISTANT:"]}
    found = asked("0", said(("text", "Who?")), settings, tmp_path)
    assert found.cut("A man ASSISTANT: x\n\ny") == "A man"
    assert found.cut("A man\n\nASSISTANT:") == "A man"
    assert asked("0", said(("text", "Who?")), {"until": "."}, tmp_path).cut("A. B") == "A"


@pytest.mark.parametrize(
    ("messages", "settings", "reason"),
    [
        (said(("image", "a.png"), ("image", "b.png")), {}, "several media of kind image"),
        ([*said(("text", "a")), {"role": "assistant", "content": []}], {}, "several turns"),
        (said(("text", "a")), {"do_sample": True}, "expected: greedy answers"),
        (said(("text", "a")), {"temperature": 0.7}, "expected: greedy answers"),
        (said(("image", 3)), {}, "a medium of type int"),
    ],
)
def test_what_our_models_cannot_do_is_refused(messages, settings, reason, tmp_path) -> None:
    with pytest.raises(ConfigError, match=reason):
        asked("0", messages, settings, tmp_path)


def test_a_checkpoint_answers_each_request_in_its_place(tiny_run: Path, tmp_path: Path) -> None:
    colours = ("red", "blue", "green")
    rows = [
        said(("image", Image.new("RGB", (64, 64), name)), ("text", f"Is it {name}?"))
        for name in colours
    ]
    model = ChatModel(str(tiny_run / "instruct/final"), batch_size=2)
    model.task_dict = {"toy": {"test": rows}}
    lengths = (4, 16, 4)
    requests = [
        SimpleNamespace(
            args=("", lambda row: row, GREEDY | {"max_new_tokens": n}, at, "toy", "test")
        )
        for at, n in enumerate(lengths)
    ]
    together = model.generate_until(requests)
    alone = [model.generate_until([request])[0] for request in requests]
    assert together == alone
    assert len(together) == len(rows)
    with pytest.raises(ValueError, match="unknown model arguments"):
        ChatModel("x", pretrained="y")
