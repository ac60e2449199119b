"""What is planned of a row, from measures of its files, against what a batch of it then holds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from affect_mllm import config
from affect_mllm.data import lengths, sources
from affect_mllm.data.chat import ChatFormat
from affect_mllm.data.collate import collate
from affect_mllm.data.example import ExampleMaker
from affect_mllm.data.faces import Faces
from affect_mllm.data.features import Features
from affect_mllm.data.mixture import Draw
from affect_mllm.data.outline import Outliner
from affect_mllm.data.packing import UNIT
from affect_mllm.data.reader import Reader
from affect_mllm.data.template import Instruction, Prompt
from affect_mllm.media.content import ContentIndex
from affect_mllm.media.sampling import Sampling
from affect_mllm.models.encoders.base import Encoder
from affect_mllm.models.spans import OneFor, TokenRule
from affect_mllm.types import Sample
from tests import tiny_encoders, tiny_omni, tiny_vlm
from tests.data import tokenizers
from tests.media import clips

ASK = {"label": Instruction(("Which?",), "{emotion}")}
SECONDS = (0.32, 1.0, 2.52, 7.0, 60.0)
PICTURES = {"wide": (201, 97), "high": (60, 150), "small": (23, 31), "square": (64, 64)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> list[Sample]:
    """Pictures of odd sizes; clips of 0.3 to 60 s, silent and with sound, cut, and in folders."""
    root = tmp_path_factory.mktemp("corpus")
    rows = []

    def row(name: str, media: dict[str, str], **more: Any) -> None:
        labels = {"emotion": "happy"}
        rows.append(Sample(name, root, media, subtitle="So it is.", labels=labels, **more))

    for name, size in PICTURES.items():
        Image.new("RGB", size, (200, 90, 9)).save(root / f"{name}.png")
        row(name, {"image": f"{name}.png"})
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (90, 40)).save(root / "turned.jpg", exif=turned)
    row("turned", {"image": "turned.jpg"})
    for number, length_s in enumerate(SECONDS):
        ending = (".mp4", ".webm", ".avi", ".mkv", ".mp4")[number]
        for sound_s in (None, length_s):
            name = f"clip{length_s}{'_heard' if sound_s else ''}{ending}"
            size = (64 + 16 * number, 48)
            frames = round(length_s * clips.FPS)
            clips.make_video(root / name, frames=frames, size=size, sound_s=sound_s)
            row(name, {"video": name})
    row("cut", {"video": "clip7.0_heard.mkv"}, start_s=1.3, end_s=4.05)
    row("late", {"video": "clip60.0_heard.mp4"}, start_s=41.5)
    row("voice", {"audio": "clip2.52_heard.avi"})
    row("both", {"video": "clip7.0.mkv", "audio": "clip1.0_heard.webm"})
    (root / "folder").mkdir()
    for number in range(11):
        Image.new("RGB", (50, 70 + number)).save(root / "folder" / f"{number}.png")
    row("folder", {"frames": "folder"}, frames_fps=2.0)
    row("words", {})
    return rows


def ours(folder: Path) -> tuple[dict[str, Any], dict[str, Encoder], dict[str, Any]]:
    """A CLIP for pictures and a HuBERT for sound, both in the step, a token for four states."""
    vision: Encoder = config.build(
        {
            "_target_": "affect_mllm.models.encoders.hf_vision.HFVisionEncoder",
            "model": str(tiny_encoders.folder(folder, "clip")),
            "transform": {"_target_": "affect_mllm.media.image.ImageTransform", "size": 32},
        }
    )
    sound: Encoder = config.build(
        {
            "_target_": "affect_mllm.models.encoders.hubert.SpeechEncoder",
            "model": str(tiny_encoders.folder(folder, "hubert")),
            "transform": {"_target_": "affect_mllm.media.waveform.Waveform"},
        }
    )
    encoders = {"frame": vision, "image": vision, "audio": sound}
    spans = {
        name: TokenRule(each.state_count(), each.hidden_size, OneFor(4))
        for name, each in encoders.items()
    }
    return spans, encoders, {name: each.transform for name, each in encoders.items()}


def outliner(spans: Any, positions: Any, known: lengths.Lengths) -> Outliner:
    chat = ChatFormat(tokenizers.tokenizer("qwen25"))
    maker = ExampleMaker(chat, Prompt(), spans, fused=False, max_tokens=20_000)
    return Outliner(maker, ASK, visual="frame", encoded=False, lengths=known, positions=positions)


def planned(made: Outliner, features: Features, rows: list[Sample]) -> Iterator[tuple[Any, Any]]:
    """Of each row what was planned, and the batch of it alone."""
    for sample in rows:
        outline = made.outline(Draw(sample, "label", (1, 0)))
        assert outline is not None
        example = made.example(outline, features.clip(sample).arrays)
        assert example is not None
        if outline.planned is not None:
            assert example.input_ids is outline.planned.input_ids, f"{sample.id} is made anew"
        yield outline, collate([example], pad_id=0)


READER = Reader(Sampling("fps", fps=2.0, max_frames=64), Faces(), visual="frame")


def test_plans_are_what_batches_of_our_encoders_hold(corpus, tmp_path_factory) -> None:
    """Units against positions counted in the encoders' first layers while they run."""
    spans, encoders, transforms = ours(tmp_path_factory.mktemp("weights"))
    features = Features(READER, transforms)
    index = ContentIndex(tmp_path_factory.mktemp("index") / "contents.sqlite")
    known = lengths.measure(features, corpus, index=index, workers=0)
    made = outliner(spans, {name: each.positions() for name, each in encoders.items()}, known)
    ran: list[int] = []

    def count(_module: Any, _given: Any, result: Any) -> None:
        hidden = result[0] if isinstance(result, tuple) else result
        ran.append(hidden.shape[:-1].numel())

    layers = [encoders["frame"].net.encoder.layers[0], encoders["audio"].net.encoder.layers[0]]
    handles = [layer.register_forward_hook(count) for layer in layers]
    for outline, batch in planned(made, features, corpus):
        assert outline.load.tokens == int((batch.segments >= 0).sum()), outline.sample.id
        ran.clear()
        with torch.no_grad():
            for name, items in batch.media.items():
                encoders[name](items.values, items.mask)
        assert outline.load.units == sum(ran) / UNIT, outline.sample.id
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
def test_plans_are_what_batches_of_a_native_vlm_hold(corpus, tiny, tmp_path_factory, kind) -> None:
    """Qwen3-VL writes a time of its own length before each time step."""
    model = tiny_vlm.model(tiny_vlm.build(tiny, tmp_path_factory.mktemp("vlm"), kind))
    features = Features(READER, model.transforms())
    index = ContentIndex(tmp_path_factory.mktemp("index") / "contents.sqlite")
    rows = [sample for sample in corpus if sample.id != "voice"]
    known = lengths.measure(features, rows, index=index, workers=0)
    made = outliner(model.span_lengths(), model.encoder_positions(), known)
    for outline, batch in planned(made, features, rows):
        assert outline.load.tokens == int((batch.segments >= 0).sum()), outline.sample.id
        patches = sum(int(items.mask.sum()) for items in batch.media.values())
        assert outline.load.units == patches / UNIT, outline.sample.id


@pytest.mark.parametrize("kind", ["qwen2_5_omni", "qwen3_omni_moe"])
def test_plans_are_what_batches_of_a_model_that_hears_hold(corpus, tmp_path_factory, kind) -> None:
    """A sound stands among the steps of its video; units as both towers' first layers count."""
    model = tiny_vlm.model(tiny_omni.build(tmp_path_factory.mktemp("omni"), kind))
    features = Features(READER, model.transforms())
    index = ContentIndex(tmp_path_factory.mktemp("index") / "contents.sqlite")
    known = lengths.measure(features, corpus, index=index, workers=0)
    made = outliner(model.span_lengths(), model.encoder_positions(), known)
    ran: list[int] = []

    def count(_module: Any, _given: Any, result: Any) -> None:
        hidden = result[0] if isinstance(result, tuple) else result
        ran.append(hidden.shape[:-1].numel())

    layers = [model.encoders["visual"].net.blocks[0], model.encoders["audio"].net.layers[0]]
    handles = [layer.register_forward_hook(count) for layer in layers]
    for outline, batch in planned(made, features, corpus):
        assert outline.load.tokens == int((batch.segments >= 0).sum()), outline.sample.id
        ran.clear()
        with torch.no_grad():
            for name, items in batch.media.items():
                model.encode(name, items)
        assert outline.load.units == sum(ran) / UNIT, outline.sample.id
    for handle in handles:
        handle.remove()


def test_files_are_measured_once_and_anew_when_they_change(
    corpus, tmp_path, tmp_path_factory, monkeypatch
) -> None:
    """Also by processes of their own, with the same result."""
    features = Features(READER, ours(tmp_path_factory.mktemp("weights"))[2])
    index = ContentIndex(tmp_path / "contents.sqlite")
    known = lengths.measure(features, corpus, index=index, workers=0)
    monkeypatch.setattr(lengths, "A_WORKER", 4)
    several = lengths.measure(
        features, corpus, index=ContentIndex(tmp_path / "other.sqlite"), workers=2
    )
    shapes = [known.of(sample) for sample in corpus]
    assert [_shapes(found) for found in shapes] == [_shapes(several.of(s)) for s in corpus]

    def never(*_args: Any, **_more: Any) -> Any:
        raise AssertionError("measured twice")

    for name in ("measure_video", "measure_folder"):
        monkeypatch.setattr(f"affect_mllm.media.measure.{name}", never)
    monkeypatch.setattr("affect_mllm.media.audio.sound_length", never)
    monkeypatch.setattr("affect_mllm.media.still.picture_size", never)
    again = lengths.measure(features, corpus, index=ContentIndex(index.file), workers=0)
    assert [_shapes(again.of(s)) for s in corpus] == [_shapes(found) for found in shapes]
    monkeypatch.undo()

    (square,) = (sample for sample in corpus if sample.id == "square")
    path = tmp_path / "square.png"
    shutil.copy(square.path("image"), path)
    copied = replace(square, media={"image": str(path)})
    before = sources.Measured(READER, copied, index).frames().images.shape
    Image.new("RGB", (64, 32)).save(path)
    os.utime(path, ns=(1, 1))
    after = sources.Measured(READER, copied, index).frames().images.shape
    assert before != after == (1, 32, 64, 3)


def _shapes(found: Any) -> Any:
    return found and {name: (item.dtype, item.shape) for name, item in found.items()}


def test_a_file_that_cannot_be_measured_is_planned_with_a_guess(tmp_path) -> None:
    """What is wrong with it is said when it is read, as ever."""
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    sample = Sample("broken", tmp_path, {"video": "broken.mp4"}, labels={"emotion": "sad"})
    features = Features(READER, {"frame": lambda images: images})
    index = ContentIndex(tmp_path / "contents.sqlite")
    known = lengths.measure(features, [sample], index=index)
    assert known.of(sample) is None
    guess = outliner({"frame": lambda array: None, "audio": 2}, {}, known)
    assert guess.outline(Draw(sample, "label", (1, 0))).load.tokens > guess.maker.assumed_tokens


def test_face_boxes_tell_in_which_frames_a_face_is(tmp_path) -> None:
    clips.make_video(tmp_path / "clip.mp4", frames=50)
    boxes = ((2.0, 2.0, 20.0, 20.0), (4.0, 2.0, 20.0, 20.0))
    sample = Sample("a", tmp_path, {"video": "clip.mp4"}, face_boxes=boxes, face_times_s=(0.0, 1.0))
    reader = Reader(Sampling(frames=6), Faces(size=32))
    index = ContentIndex(tmp_path / "contents.sqlite")
    transforms = {"face": np.asarray, "frame": np.asarray}
    read = reader.read(sample, transforms).arrays
    assert _shapes(reader.measured(sample, transforms, index)) == _shapes(read)
    assert list(read) == ["face"]
