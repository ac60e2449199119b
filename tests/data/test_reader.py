"""From real files to encoder inputs: what is there is read, what is missing is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from affect_mllm.data.features import Features, ensure
from affect_mllm.data.reader import Reader
from affect_mllm.data.settings import DataSettings
from affect_mllm.types import DataError, Sample
from tests.media import clips

BOX = {"face_boxes": ((16.0, 12.0, 24.0, 24.0),), "face_times_s": (0.0,)}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    clips.make_video(folder / "sound.mp4", frames=20, sound_s=0.8)
    clips.make_video(folder / "mute.mp4", frames=20)
    clips.make_sound(folder / "voice.wav", duration_s=0.5)
    clips.make_image(folder / "photo.png")
    (folder / "broken.mp4").write_bytes(b"no video" * 50)
    return folder


def same(values: np.ndarray) -> np.ndarray:
    return values


ALL = dict.fromkeys(("face", "frame", "image", "audio"), same)


def read(root: Path, media: dict[str, str], reader: Reader | None = None, **changes):
    reader = reader or Reader(frames=4, face_size=32)
    return reader.read(Sample("row", root, media, **changes), ALL)


def test_a_clip_with_a_face_gives_crops_and_sound(root: Path) -> None:
    clip = read(root, {"video": "sound.mp4"}, **BOX)
    assert set(clip.arrays) == {"face", "audio"}
    assert clip.arrays["face"].shape == (4, 32, 32, 3)
    assert len(clip.arrays["audio"]) == pytest.approx(0.8 * 16000, rel=0.1)
    assert clip.warnings == ()


def test_no_face_is_a_warning_and_the_whole_frame_is_used(root: Path) -> None:
    clip = read(root, {"video": "sound.mp4"})
    assert set(clip.arrays) == {"frame", "audio"}
    assert clip.arrays["frame"].shape == (4, 48, 64, 3)
    assert clip.warnings == ("row: no face found; the whole frame is used",)


def test_no_sound_is_a_warning_and_the_modality_is_absent(root: Path) -> None:
    clip = read(root, {"video": "mute.mp4"}, **BOX)
    assert set(clip.arrays) == {"face"}
    assert clip.warnings == ("row: no sound; answered without the voice",)


def test_a_photo_and_a_sound_alone(root: Path) -> None:
    assert set(read(root, {"image": "photo.png"}).arrays) == {"image"}
    face = read(root, {"image": "photo.png"}, **BOX)
    assert face.arrays["face"].shape == (1, 32, 32, 3)
    voice = read(root, {"audio": "voice.wav"})
    assert set(voice.arrays) == {"audio"}
    assert not voice.warnings


def test_sound_of_its_own_goes_before_the_videos(root: Path) -> None:
    clip = read(root, {"video": "sound.mp4", "audio": "voice.wav"}, **BOX)
    assert len(clip.arrays["audio"]) == pytest.approx(0.5 * 16000, rel=0.1)


def test_a_row_can_be_a_part_of_a_clip(root: Path) -> None:
    cut = read(root, {"video": "sound.mp4"}, start_s=0.4, end_s=0.8)
    indices = [clips.index_of(image, 20) for image in cut.arrays["frame"]]
    assert min(indices) > 9, "a frame from before the cut"
    assert len(cut.arrays["audio"]) == pytest.approx(0.4 * 16000, rel=0.15)


def test_without_a_branch_nothing_is_decoded(root: Path) -> None:
    reader = Reader(frames=4, visual="frame")
    clip = reader.read(Sample("row", root, {"video": "sound.mp4"}), {"frame": same})
    assert set(clip.arrays) == {"frame"}
    assert not clip.warnings, "the whole frame was asked for"


@pytest.mark.parametrize("name", ["broken.mp4", "nothing.mp4"])
def test_a_file_that_cannot_be_read_names_row_and_file(root: Path, name: str) -> None:
    with pytest.raises(DataError, match=name) as caught:
        read(root, {"video": name})
    assert "row row" in caught.value.__notes__


def test_kinds_that_nothing_reads_are_not_dropped_in_silence(root: Path) -> None:
    with pytest.raises(DataError, match="features"):
        read(root, {"features": "x.safetensors"})


def test_the_face_in_a_real_photograph_is_found(root: Path, assets: Path) -> None:
    from PIL import Image
    from skimage import data

    Image.fromarray(data.astronaut()).save(root / "astronaut.png")
    reader = Reader(detector=str(assets / "mtcnn"), face_size=32)
    assert set(read(root, {"image": "astronaut.png"}, reader).arrays) == {"face"}
    nothing = read(root, {"image": "photo.png"}, reader)
    assert set(nothing.arrays) == {"image"}
    assert "no face" in nothing.warnings[0]


def encode(arrays):
    return {name: np.ones((2, 3), np.float32) for name in arrays}


def features(root: Path, cache_dir: Path | None) -> Features:
    settings = DataSettings({}, cache_dir=str(cache_dir) if cache_dir else None)
    return settings.features({"frame": same}, {"frame": "x"})


def test_features_are_computed_once_and_unreadable_rows_counted(root, tmp_path) -> None:
    rows = [Sample(n, root, {"video": f"{n}.mp4"}) for n in ("sound", "mute", "broken")]
    made = features(root, tmp_path)
    ensure(made, rows, encode, max_bad_fraction=0.4)
    assert [row.id for row in made.missing(rows)] == ["broken"]
    assert made.clip(rows[0]).arrays["frame"].shape == (2, 3)
    with pytest.raises(DataError, match=r"row broken: not in the feature cache"):
        made.clip(rows[2])
    with pytest.raises(DataError, match=r"1 of 3 clips(.|\n)*broken\.mp4"):
        ensure(made, rows, encode, max_bad_fraction=0.1)


def test_a_row_of_words_needs_no_cache(root, tmp_path) -> None:
    row = Sample("words", root, subtitle="hello")
    for cache_dir in (None, tmp_path):
        made = features(root, cache_dir)
        assert made.missing([row]) == []
        assert made.clip(row).arrays == {}


def test_face_crops_of_the_manifest_come_before_any_detector(root) -> None:
    crops = root / "crops"
    crops.mkdir(exist_ok=True)
    for number in range(6):
        clips.make_image(crops / f"{number}.png", size=(20, 30))
    clip = Reader(frames=4, face_size=32).read(
        Sample("a", root, {"video": "mute.mp4", "faces": "crops"}), {"face": lambda images: images}
    )
    assert clip.arrays["face"].shape == (4, 32, 32, 3)
    assert clip.warnings == ()


def test_a_row_that_names_both_a_video_and_an_image_is_refused(root) -> None:
    row = Sample("a", root, {"video": "mute.mp4", "image": "x.png"})
    with pytest.raises(DataError, match="media image, video"):
        Reader().read(row, {})
