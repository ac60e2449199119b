"""From real files to encoder inputs: what is there is read, what is missing is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from affect_mllm.data import faces
from affect_mllm.data.faces import Faces
from affect_mllm.data.features import Features, ensure
from affect_mllm.data.reader import Reader
from affect_mllm.data.settings import DataSettings
from affect_mllm.media.face import Detections
from affect_mllm.media.image import ImageTransform
from affect_mllm.media.mel import MelFrames
from affect_mllm.media.sampling import Sampling
from affect_mllm.media.video import Frames
from affect_mllm.types import ConfigError, DataError, Sample
from tests.media import clips

FOUR = Reader(Sampling(frames=4), Faces(size=32))
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
    reader = reader or FOUR
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
    reader = Reader(Sampling(frames=4), visual="frame")
    clip = reader.read(Sample("row", root, {"video": "sound.mp4"}), {"frame": same})
    assert set(clip.arrays) == {"frame"}
    assert not clip.warnings, "the whole frame was asked for"


@pytest.mark.parametrize("name", ["broken.mp4", "nothing.mp4"])
def test_a_file_that_cannot_be_read_names_row_and_file(root: Path, name: str) -> None:
    with pytest.raises(DataError, match=name) as caught:
        read(root, {"video": name})
    assert "row row" in caught.value.__notes__


def test_the_face_in_a_real_photograph_is_found(root: Path, assets: Path) -> None:
    from PIL import Image
    from skimage import data

    Image.fromarray(data.astronaut()).save(root / "astronaut.png")
    reader = Reader(faces=Faces(detector=str(assets / "mtcnn"), size=32))
    assert set(read(root, {"image": "astronaut.png"}, reader).arrays) == {"face"}
    nothing = read(root, {"image": "photo.png"}, reader)
    assert set(nothing.arrays) == {"image"}
    assert "no face" in nothing.warnings[0]


def test_the_largest_of_whom_the_detector_is_sure_is_chosen(root: Path, monkeypatch) -> None:
    """A large thing that it takes for a face at .72 beside a face of .99."""
    found = Detections(np.array([[0.0, 0, 30, 30], [40, 10, 10, 10]]), np.array([0.72, 0.99]))
    detector = SimpleNamespace(detect=lambda _: found)
    monkeypatch.setattr(faces, "_detector", lambda _: detector)
    frames = Frames(np.zeros((1, 48, 64, 3), np.uint8), np.zeros(1))
    frames.images[0, 10:20, 40:50] = 200
    sample = Sample("a", root)

    def chosen(**settings: Any) -> float:
        made = Faces(detector=str(root), size=8, margin=0.0, **settings)
        crops = made.crops(sample, frames, None)
        return -1.0 if crops is None else float(crops.images.mean())

    assert chosen() == 200
    assert chosen(min_score=0.7) == 0
    assert chosen(min_score=0.995) == -1


def encode(arrays):
    return {name: np.ones((2, 3), np.float32) for name in arrays}


def features(root: Path, cache_dir: Path | None) -> Features:
    settings = DataSettings({}, cache_dir=str(cache_dir) if cache_dir else None)
    return settings.features({"frame": same}, {"frame": "x"})


def test_features_are_computed_once_and_unreadable_rows_counted(root, tmp_path) -> None:
    rows = [Sample(n, root, {"video": f"{n}.mp4"}) for n in ("sound", "mute", "broken")]
    made = features(root, tmp_path)
    ensure(made, rows, encode, max_bad_fraction=0.4)
    assert [row.id for row in rows if made.lacks(row)] == ["broken"]
    assert made.clip(rows[0]).arrays["frame"].shape == (2, 3)
    with pytest.raises(DataError, match=r"row broken: not in the feature cache"):
        made.clip(rows[2])
    with pytest.raises(DataError, match=r"1 of 3 clips(.|\n)*broken\.mp4"):
        ensure(made, rows, encode, max_bad_fraction=0.1)


def test_a_row_of_words_needs_no_cache(root, tmp_path) -> None:
    row = Sample("words", root, subtitle="hello")
    for cache_dir in (None, tmp_path):
        made = features(root, cache_dir)
        assert not made.lacks(row)
        assert made.clip(row).arrays == {}


def test_face_crops_of_the_manifest_come_before_any_detector(root) -> None:
    crops = root / "crops"
    crops.mkdir(exist_ok=True)
    for number in range(6):
        clips.make_image(crops / f"{number}.png", size=(20, 30))
    clip = FOUR.read(
        Sample("a", root, {"video": "mute.mp4", "faces": "crops"}), {"face": lambda images: images}
    )
    assert clip.arrays["face"].shape == (4, 32, 32, 3)
    assert clip.warnings == ()


def test_a_row_that_names_both_a_video_and_an_image_is_refused(root) -> None:
    row = Sample("a", root, {"video": "mute.mp4", "image": "x.png"})
    with pytest.raises(DataError, match="media image, video"):
        Reader().read(row, {})


def test_a_folder_of_frames_is_read_and_its_video_is_only_heard(root) -> None:
    folder = root / "frames"
    folder.mkdir(exist_ok=True)
    for number in range(10):
        from PIL import Image

        Image.fromarray(clips.picture(number, 10)).save(folder / f"{number}.png")
    clip = read(root, {"frames": "frames", "video": "sound.mp4"})
    assert [round(clips.index_of(image, 10)) for image in clip.arrays["frame"]] == [1, 3, 6, 8]
    assert "audio" in clip.arrays
    late = read(root, {"frames": "frames"}, start_s=0.5, end_s=1.0, frames_fps=10.0)
    assert min(clips.index_of(image, 10) for image in late.arrays["frame"]) > 4.5
    with pytest.raises(DataError, match="frames_fps"):
        read(root, {"frames": "frames"}, start_s=0.5)


def test_pre_extracted_states_go_before_media(root) -> None:
    from safetensors.numpy import save_file

    audio, face = np.ones((5, 3), np.float32), np.zeros((2, 4), np.float32)
    np.save(root / "hubert.npy", audio)
    save_file({"audio": audio, "face": face}, root / "states.safetensors")
    (root / "folder").mkdir(exist_ok=True)
    np.save(root / "folder/audio.npy", audio)
    one = read(root, {"features.audio": "hubert.npy", "video": "sound.mp4"}, **BOX)
    assert one.arrays["audio"].shape == (5, 3)
    assert one.arrays["face"].shape == (4, 32, 32, 3)
    both = read(root, {"features": "states.safetensors", "video": "broken.mp4"})
    assert {name: a.shape for name, a in both.arrays.items()} == {"audio": (5, 3), "face": (2, 4)}
    assert set(read(root, {"features": "folder"}).arrays) == {"audio"}
    off = Reader(Sampling(frames=4), Faces(size=32), features=False)
    media = {"features.audio": "hubert.npy", "video": "sound.mp4"}
    assert read(root, media, off).arrays["audio"].ndim == 1


def test_states_that_cannot_be_used_are_refused(root) -> None:
    np.save(root / "x.npy", np.ones((5, 3)))
    np.save(root / "audio.npy", np.array([np.nan]))
    (root / "bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    for name, reason in [("x.npy", "states named x"), ("audio.npy", "not all finite"),
                         ("bad.safetensors", "cannot be read as safetensors"),
                         ("photo.png", "ending in '.png'")]:  # fmt: skip
        with pytest.raises(DataError, match=reason):
            read(root, {"features": name})


def test_openfaces_table_and_arrays_give_faces(root) -> None:
    from tests.media.test_people import table

    rows = [(i, 0, i / 25, 0.99, 1, (16, 12, 24, 24)) for i in range(20)]
    table(root / "of.csv", rows)
    clip = read(root, {"video": "mute.mp4", "faces": "of.csv"})
    assert clip.arrays["face"].shape == (4, 32, 32, 3)
    with pytest.raises(DataError, match="no picture"):
        read(root, {"faces": "of.csv", "audio": "voice.wav"})
    np.save(root / "crops.npy", np.full((9, 20, 20, 3), (0, 0, 250), np.uint8))
    reader = Reader(Sampling(frames=4), Faces(size=32, array_colors="bgr"))
    crops = read(root, {"faces": "crops.npy"}, reader).arrays["face"]
    assert crops.shape == (4, 32, 32, 3)
    assert crops[0, 5, 5].tolist() == [250, 0, 0]
    frames_only = read(root, {"faces": "crops.npy"}, Reader(visual="frame"))
    assert frames_only.arrays == {}
    assert "face crops are not looked at" in frames_only.warnings[0]


STILL = Reader(Sampling(frames=4), visual="frame", still="first")


def test_a_still_is_the_first_of_the_frames_beside_them(root: Path) -> None:
    clip = read(root, {"video": "sound.mp4"}, STILL)
    assert set(clip.arrays) == {"frame", "image", "audio"}
    assert np.array_equal(clip.arrays["image"], clip.arrays["frame"][:1])
    assert not clip.warnings
    photo = read(root, {"image": "photo.png"}, STILL)
    assert set(photo.arrays) == {"image"}
    crops = read(root, {"video": "mute.mp4"}, replace(FOUR, still="first"), **BOX)
    assert crops.arrays["face"].shape == (4, 32, 32, 3)
    assert crops.arrays["image"].shape == (1, 48, 64, 3), "the whole picture"


def test_a_still_at_the_peak_is_the_frame_nearest_to_it(root: Path) -> None:
    peak = replace(STILL, still="peak")
    clip = read(root, {"video": "mute.mp4"}, peak, peak_s=0.55)
    frames, still = clip.arrays["frame"], clip.arrays["image"]
    distance = [abs(clips.index_of(image, 20) - 0.55 * 25) for image in frames]
    assert np.array_equal(still[0], frames[int(np.argmin(distance))])
    assert int(np.argmin(distance)) > 0
    with pytest.raises(DataError, match="peak_s"):
        read(root, {"video": "mute.mp4"}, peak)
    assert set(read(root, {"image": "photo.png"}, peak).arrays) == {"image"}


def test_beside_features_a_still_is_read_and_what_they_lack(root: Path) -> None:
    np.save(root / "face.npy", np.full((1, 7), 3.0, np.float32))
    media = {"video": "mute.mp4", "features.face": "face.npy"}
    assert set(read(root, media, replace(STILL, still=None)).arrays) == {"face"}
    clip = read(root, media, STILL)
    assert set(clip.arrays) == {"face", "frame", "image"}
    assert clip.arrays["face"].shape == (1, 7)
    both = {**media, "features.frame": "face.npy"}
    assert read(root, both, STILL).arrays["frame"].shape == (1, 7), "its features go first"


class Darker(ImageTransform):
    def __call__(self, images):
        return super().__call__(images) * np.float32(0.5)


def test_floats_that_an_encoder_would_take_for_normalised_are_refused(root) -> None:
    sample = Sample("a", root, {"image": "photo.png"})
    with pytest.raises(ConfigError, match="Darker: makes float32 and has a `normal`"):
        FOUR.read(sample, {"image": Darker()})


def test_what_a_transform_makes_that_is_no_number_names_its_modality(tmp_path) -> None:
    """Sound of 1e30 is finite; its power is not."""
    import soundfile

    loud = np.full(4000, 1e30, np.float32)
    soundfile.write(tmp_path / "loud.wav", loud, 16000, subtype="FLOAT")
    sample = Sample("a", tmp_path, {"audio": "loud.wav"})
    with pytest.raises(DataError, match="audio: values that are not finite"):
        Reader().read(sample, {"audio": MelFrames()})
