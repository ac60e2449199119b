"""Frames: the right ones, from every container, by every backend, upright."""

from __future__ import annotations

import subprocess
import sys

import av
import numpy as np
import pytest

from affect_mllm.media.orientation import display_matrix
from affect_mllm.media.video import Sampling, probe, read_frames, read_image
from affect_mllm.types import ConfigError, DataError
from tests.media import clips

SUFFIXES = list(clips.VIDEO_CODECS)


def indices(frames, count=50):
    return [round(clips.index_of(image, count)) for image in frames.images]


def nearly(got, wanted):
    """Lossy codecs move brightness by a level or two: a quarter of a frame here."""
    np.testing.assert_allclose(got, wanted, atol=1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_uniform_takes_the_frame_on_screen_at_the_centre_of_each_part(clip_dir, suffix):
    frames = read_frames(clip_dir / f"v{suffix}", Sampling(frames=8))
    expected = [int((i + 0.5) * 50 / 8) for i in range(8)]
    assert frames.images.shape == (8, 48, 64, 3)
    assert frames.images.dtype == np.uint8
    nearly(indices(frames), expected)
    np.testing.assert_allclose(frames.times_s, np.array(expected) / 25, atol=1e-3)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_channels_are_rgb_and_the_picture_is_upright(clip_dir, suffix):
    image = read_frames(clip_dir / f"v{suffix}", Sampling(frames=2)).images[1]
    red = image[4:20, 4:28].reshape(-1, 3).mean(axis=0)
    assert red[0] > 200
    assert red[1:].max() < 60


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_window(clip_dir, suffix):
    frames = read_frames(clip_dir / f"v{suffix}", Sampling(frames=4), start_s=1.2, end_s=1.6)
    np.testing.assert_allclose(frames.times_s, [1.24, 1.32, 1.44, 1.52], atol=1e-3)
    nearly(indices(frames), [31, 33, 36, 38])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_seeking_gives_the_same_pixels_as_decoding_everything(clip_dir, suffix):
    path = clip_dir / f"v{suffix}"
    every = read_frames(path, Sampling(frames=50))
    np.testing.assert_array_equal(np.round(every.times_s * 25), np.arange(50))
    for start in (0.0, 0.75, 1.5):
        few = read_frames(path, Sampling(frames=2), start_s=start, end_s=start + 0.5)
        ranks = np.round(few.times_s * 25).astype(int)
        np.testing.assert_array_equal(few.images, every.images[ranks])


def test_window_deep_in_a_long_file_begins_by_a_seek(tmp_path):
    path = clips.make_video(tmp_path / "long.mp4", frames=200, gop=25)
    every = read_frames(path, Sampling(frames=200))
    few = read_frames(path, Sampling(frames=3), start_s=5.0, end_s=6.5)
    ranks = np.round(few.times_s * 25).astype(int)
    np.testing.assert_array_equal(few.images, every.images[ranks])
    assert 5.0 <= few.times_s[0] < few.times_s[-1] < 6.5


def test_fps_sampling_and_its_cap(clip_dir):
    path = clip_dir / "v.mp4"
    assert len(read_frames(path, Sampling("fps", fps=4)).times_s) == 8
    capped = read_frames(path, Sampling("fps", fps=25, max_frames=5))
    uniform = read_frames(path, Sampling("uniform", frames=5))
    np.testing.assert_array_equal(capped.images, uniform.images)
    short = read_frames(path, Sampling("fps", fps=1), start_s=0.2, end_s=0.4)
    np.testing.assert_allclose(short.times_s, [0.28], atol=1e-3)


def test_a_clip_with_fewer_frames_than_asked_repeats_them(tmp_path):
    path = clips.make_video(tmp_path / "short.mp4", frames=3)
    nearly(indices(read_frames(path, Sampling(frames=6)), 3), [0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("clockwise", [90, 180, 270])
def test_rotation_metadata_is_applied(tmp_path, clockwise):
    path = clips.make_video(tmp_path / "v.mp4", frames=5)
    plain = read_frames(path, Sampling(frames=5)).images
    clips.rotate_metadata(path, clockwise=clockwise)
    turned = read_frames(path, Sampling(frames=5)).images
    np.testing.assert_array_equal(turned, np.rot90(plain, -clockwise // 90, axes=(1, 2)))
    info = probe(path)
    assert (info.height, info.width) == turned.shape[1:3]


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((-1, 0, 0, 1), lambda stored: stored[:, :, ::-1]),
        ((1, 0, 0, -1), lambda stored: stored[:, ::-1]),
        ((0, 1, 1, 0), lambda stored: stored.swapaxes(1, 2)),
        ((0, -1, -1, 0), lambda stored: stored[:, ::-1, ::-1].swapaxes(1, 2)),
    ],
    ids=["left and right", "upside down", "one diagonal", "the other"],
)
def test_a_mirrored_picture_is_shown_as_its_matrix_says(tmp_path, matrix, shown):
    """As selfie cameras record. A point (x, y) is shown at (a·x + c·y, b·x + d·y)."""
    path = clips.make_video(tmp_path / "v.mp4", frames=5)
    plain = read_frames(path, Sampling(frames=5)).images
    clips.display(path, matrix)
    turned = read_frames(path, Sampling(frames=5)).images
    np.testing.assert_array_equal(turned, shown(plain))
    info = probe(path)
    assert (info.height, info.width) == turned.shape[1:3]


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_a_turn_is_known_beside_what_pyav_has_no_name_for(tmp_path, clockwise):
    """PyAV lists all side data of a frame at once, and raises at the first kind it doesn't know."""
    path = clips.make_video(tmp_path / "v.mp4", frames=2)
    if clockwise:
        clips.rotate_metadata(path, clockwise=clockwise)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))

    class Strange:
        rotation = frame.rotation

        @property
        def side_data(self):
            raise ValueError("29 is not a valid Type")

    assert display_matrix(Strange()) == display_matrix(frame)  # pyright: ignore


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_times_do_not_depend_on_where_the_files_clock_starts(tmp_path, suffix):
    path = clips.make_video(tmp_path / f"v{suffix}")
    shifted = tmp_path / f"shifted{suffix}"
    with av.open(str(path)) as source:
        clips.remux(source, shifted, shift_s=3.0)
    plain = read_frames(path, Sampling(frames=4))
    late = read_frames(shifted, Sampling(frames=4))
    np.testing.assert_allclose(late.times_s, plain.times_s, atol=2e-3)
    np.testing.assert_array_equal(late.images, plain.images)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
def test_decord_agrees(clip_dir, suffix):
    path = clip_dir / f"v{suffix}"
    ours = read_frames(path, Sampling(frames=8), start_s=0.3)
    theirs = read_frames(path, Sampling(frames=8), start_s=0.3, backend="decord")
    np.testing.assert_array_equal(ours.times_s, theirs.times_s)
    difference = np.abs(ours.images.astype(int) - theirs.images)
    assert difference.mean() < 1.0


def test_decord_is_refused_where_it_returns_other_frames(clip_dir):
    with pytest.raises(
        DataError, match=r"decord cannot decode it \(it returns wrong frames for AVI"
    ):
        read_frames(clip_dir / "v.avi", Sampling(), backend="decord")


def test_an_unknown_backend_and_sampling_are_config_errors(clip_dir):
    with pytest.raises(ConfigError, match="torchcodec"):
        read_frames(clip_dir / "v.mp4", Sampling(), backend="opencv")  # pyright: ignore
    with pytest.raises(ConfigError, match=r"sampling\.frames"):
        Sampling(frames=0)
    with pytest.raises(ConfigError, match="uniform, fps"):
        Sampling(kind="random")  # pyright: ignore


def test_images(clip_dir, tmp_path):
    from PIL import Image

    png, jpg = read_image(clip_dir / "i.png"), read_image(clip_dir / "i.jpg")
    np.testing.assert_array_equal(png, clips.picture(1, 2))
    assert np.abs(jpg.astype(int) - png).mean() < 6
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by 90 degrees
    Image.fromarray(png).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(png, -1))
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png").min() == 255
    grey = np.full((4, 4), 0x8000, np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    assert set(read_image(tmp_path / "deep.png").ravel()) == {0x80}


def test_probe(clip_dir):
    info = probe(clip_dir / "v.mp4")
    assert (info.kind, info.has_video, info.has_audio) == ("video", True, True)
    assert (info.width, info.height, info.fps) == (64, 48, 25.0)
    assert info.duration_s == pytest.approx(2.0, abs=0.03)
    sound = probe(clip_dir / "s.mp3")
    assert (sound.kind, sound.has_video, sound.width) == ("audio", False, None)
    assert sound.duration_s == pytest.approx(2.0, abs=0.06)
    image = probe(clip_dir / "i.jpg")
    assert (image.kind, image.width, image.height) == ("image", 64, 48)
    assert image.duration_s is None


def test_importing_the_media_layer_imports_no_heavy_package():
    code = (
        "import sys; from affect_mllm.media import video, audio, image, face, mel;"
        "heavy = {'torch', 'av', 'decord', 'torchcodec', 'PIL', 'torchaudio'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("v.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("v.webm", {"live": "1"}),
        ("v.mkv", {"live": "1"}),
    ],
    ids=["fragmented mp4", "live webm", "live mkv"],
)
def test_what_a_webcam_recorder_writes(tmp_path, name, options):
    """No length and no index in the headers; fragments whose picture begins after the sound."""
    path = clips.make_video(tmp_path / name, frames=150, gop=25, sound_s=6.0, options=options)
    every = read_frames(path, Sampling(frames=150))
    assert probe(path).duration_s == pytest.approx(6.0, abs=0.1)
    few = read_frames(path, Sampling(frames=4), start_s=3.0, end_s=5.0)
    ranks = np.searchsorted(every.times_s, few.times_s - 1e-6)
    np.testing.assert_array_equal(few.images, every.images[ranks])
    nearly(indices(few, 150), ranks)


def test_decord_agrees_where_the_picture_begins_later_than_the_sound(tmp_path):
    options = {"movflags": "frag_keyframe+empty_moov"}
    path = clips.make_video(tmp_path / "v.mp4", sound_s=2.0, options=options)
    assert read_frames(path, Sampling(frames=1), start_s=0.0, end_s=0.1).times_s[0] > 0
    ours, theirs = (
        read_frames(path, Sampling(frames=5), start_s=1.0, backend=b) for b in ("pyav", "decord")
    )
    assert np.abs(ours.images.astype(int) - theirs.images).mean() < 1.0
