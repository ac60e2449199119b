"""What the page shows of a clip is what the checkpoint got; what is taken away is not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from affect_mllm.data import faces
from affect_mllm.eval.generate.asking import Asker
from affect_mllm.eval.generate.question import Question
from affect_mllm.eval.generate.views import View
from affect_mllm.media.audio import read_audio
from affect_mllm.media.face import Detections, crop_faces
from affect_mllm.media.video import read_frames
from affect_mllm.tools.page.looked import SOURCE, look
from affect_mllm.tools.page.pictures import what_was_read
from affect_mllm.types import ConfigError, DataError

LABELS = ("happy", "sad", "angry")


def test_pictures_and_sound_are_those_that_were_decoded(model, clip: Path) -> None:
    looked = look(model, clip)
    frames = read_frames(clip, model.data.reader.sampling).images
    assert set(looked.pictures) == {"frame"}
    assert np.array_equal(looked.pictures["frame"], frames)
    assert np.array_equal(looked.sound, read_audio(clip))
    assert looked.kinds == ("face", "audio"), "as the switches call them"


def test_watching_changes_nothing_of_what_the_encoders_get(model, clip: Path) -> None:
    (plain,) = model.look([clip], [None])
    watched = look(model, clip).seen
    assert watched.sample == plain.sample
    assert watched.clip.warnings == plain.clip.warnings
    assert watched.clip.arrays.keys() == plain.clip.arrays.keys()
    for name, array in plain.clip.arrays.items():
        assert np.array_equal(watched.clip.arrays[name], array)
    shown = look(model, clip).pictures["frame"]
    assert np.array_equal(model.model.transforms()["frame"](shown), plain.clip.arrays["frame"])


def test_faces_are_shown_with_the_frames_that_they_were_cut_from(
    model, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = np.array([[10.0, 8.0, 20.0, 24.0]])

    class Detector:
        def detect(self, image):
            return Detections(box, np.ones(1))

    monkeypatch.setattr(faces, "_detector", lambda _: Detector())
    reader = model.data.reader
    finding = replace(reader, faces=replace(reader.faces, detector="any"))
    looked = look(replace(model, data=replace(model.data, reader=finding)), clip)
    frames = read_frames(clip, reader.sampling).images
    assert set(looked.pictures) == {"face", SOURCE}
    assert np.array_equal(looked.pictures[SOURCE], frames)
    boxes = np.repeat(box, len(frames), axis=0)
    cut = crop_faces(frames, boxes, size=reader.faces.size, margin=reader.faces.margin)
    assert np.array_equal(looked.pictures["face"], cut)
    page = what_was_read(looked)
    assert page.index("Faces that the model saw") < page.index("Frames in which faces")
    assert page.count("<img") == 2 * len(frames)


@pytest.mark.parametrize("kinds", [("face", "audio"), ("face",), ("audio", "text"), ("text",)])
def test_what_is_left_is_asked_as_an_evaluations_view(model, clip: Path, kinds) -> None:
    """The oracle is an evaluation: the whole clip, seen through the view of these modalities."""
    looked, words, question = look(model, clip), "I won!", "Which emotion?"
    (found,) = model.compared([looked.left(kinds, words)], LABELS, question=question)
    (seen,) = model.look([clip], [words])
    features = model.data.features(model.model.transforms(), {}, limits=model.model.limits())
    maker = model.data.maker(model.model.llm.tokenizer, model.model.span_lengths())
    asker = Asker(model.model, maker, features, model.name, labels=LABELS)
    sample = replace(seen.sample, root=clip.parent)
    (row,) = asker.answer([sample], Question(question), View(kinds))
    scores = torch.tensor([row["scores"][each] for each in LABELS], dtype=torch.float64)
    assert list(found.values()) == pytest.approx(scores.softmax(0).tolist(), rel=1e-5)


def test_taking_everything_away_is_said(model, clip: Path) -> None:
    looked = look(model, clip)
    for kinds in ((), ("text",)):
        with pytest.raises(ConfigError, match="nothing of the clip is left"):
            looked.left(kinds, None)


def test_words_alone_and_files_that_are_none(model, tmp_path: Path) -> None:
    words = look(model, None)
    assert (words.kinds, words.sound, dict(words.pictures)) == ((), None, {})
    assert words.left(("text",), "I won!").sample.subtitle == "I won!"
    with pytest.raises(DataError, match=r"none\.mp4"):
        look(model, tmp_path / "none.mp4")
