"""Which moments are looked at: hand-worked cases, and clips whose frames show their own number."""

from __future__ import annotations

import av
import numpy as np
import pytest

from affect_mllm.media.motion import busiest, speed
from affect_mllm.media.pictures import file_pick, picture_files, sample_pictures
from affect_mllm.media.sampling import Sampling
from affect_mllm.media.video import read_frames
from affect_mllm.types import ConfigError, DataError
from tests.media import clips


def moments(window=(0.0, 10.0), peak_s=None, **settings) -> list[float]:
    return Sampling(**settings).moments(*window, peak_s=peak_s).tolist()


def test_moments_of_each_kind() -> None:
    assert moments(frames=4) == [1.25, 3.75, 6.25, 8.75]
    assert moments(frames=4, place="start") == [0, 2.5, 5, 7.5]
    assert moments((2.0, 3.0), kind="fps", fps=2) == [2.25, 2.75]
    assert moments((2.0, 9.0), kind="first", frames=3, fps=2) == [2.0, 2.5, 3.0]
    assert moments((2.0, 2.9), kind="first", frames=3, fps=2) == [2.0, 2.5]
    assert moments((2.0, 9.0), kind="first", frames=1) == [2.0]


@pytest.mark.parametrize(
    ("peak_s", "expected"), [(5.0, [4.5, 5, 5.5]), (0.1, [0, 0.5, 1]), (9.9, [9, 9.5, 10])]
)
def test_peak_stands_in_the_middle_unless_the_window_ends(peak_s, expected) -> None:
    assert moments(kind="peak", frames=3, fps=2, peak_s=peak_s) == pytest.approx(expected)


def test_a_row_without_a_peak_or_with_one_elsewhere_is_refused() -> None:
    for peak_s in (None, 12.0):
        with pytest.raises(DataError, match="strongest expression"):
            moments(kind="peak", peak_s=peak_s)


def test_affectgpts_frames_are_those_at_the_beginning_of_eighths(tmp_path) -> None:
    path = clips.make_video(tmp_path / "a.mp4", frames=50)
    frames = read_frames(path, Sampling(frames=8, place="start"))
    expected = np.arange(0, 50, 50 / 8).astype(int)  # the publisher's rule for 50 frames
    assert np.rint(frames.times_s * clips.FPS).tolist() == expected.tolist()


@pytest.mark.parametrize("place", [{"kind": "some"}, {"place": "end"}, {"fps": 0}])
def test_settings_that_do_not_exist(place) -> None:
    with pytest.raises(ConfigError, match=rf"sampling\.{next(iter(place))}"):
        Sampling(**place)


def textured(shift: float) -> np.ndarray:
    """A smooth pattern, moved to the right by `shift` pixels."""
    y, x = np.mgrid[0:48, 0:64]
    return (100 + 40 * np.sin((x - shift) / 5) + 40 * np.cos(y / 4 + (x - shift) / 9)).astype(
        np.float32
    )


def test_flow_measures_a_known_movement_and_not_a_change_of_light() -> None:
    still = textured(0)
    for shift in (0.25, 0.5, 1.0):
        assert speed(still, textured(shift)) == pytest.approx(shift, rel=0.15)
    assert speed(still, still) == 0
    assert speed(still, still * 1.1) < 0.01


def test_frames_share_the_motion_above_what_goes_on_all_the_time() -> None:
    times = np.arange(100) / 25
    motion = np.full(100, 0.5)
    motion[20:24] = 3
    motion[70:72] = 3
    chosen = busiest(times, motion, 3)
    assert abs(chosen - [20, 22, 70]).max() <= 2
    assert len(busiest(times, np.full(100, 0.5), 2)) == 0
    assert len(busiest(times[:3], motion[19:22], 8)) == 8, "some more than once"


def moving_video(path, moves: range, frames: int = 60) -> None:
    """Still texture, but for the frames `moves`, in which it shifts by two pixels each."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=clips.FPS, options={"g": "20", "crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        shift = 0.0
        for number in range(frames):
            shift += 1.0 if number in moves else 0.0
            grey = textured(shift).astype(np.uint8)
            image = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, axis=2))
            container.mux(stream.encode(image))
        container.mux(stream.encode())


def test_motion_finds_the_moving_part_of_a_video_and_of_its_window(tmp_path) -> None:
    moving_video(tmp_path / "m.mp4", range(30, 40))
    sampling = Sampling("motion", frames=3)
    whole = read_frames(tmp_path / "m.mp4", sampling)
    assert ((whole.times_s * 25 > 28) & (whole.times_s * 25 < 41)).all()
    late = read_frames(tmp_path / "m.mp4", sampling, start_s=1.44, end_s=2.2)
    assert late.times_s.min() >= 1.44 - 1e-6
    assert abs(late.times_s - 37 / 25).max() < 0.15
    moving_video(tmp_path / "still.mp4", range(0))
    still = read_frames(tmp_path / "still.mp4", sampling).times_s
    assert (
        still.tolist() == read_frames(tmp_path / "still.mp4", Sampling(frames=3)).times_s.tolist()
    )


@pytest.fixture
def folder(tmp_path):
    from PIL import Image

    for number in range(12):
        image = clips.picture(number, 12)
        Image.fromarray(image).save(tmp_path / f"f{number}.png")
    (tmp_path / "notes.txt").touch()
    return tmp_path


def shown(folder, sampling, **row) -> list[float]:
    files = picture_files(folder)
    frames = sample_pictures(file_pick(files), len(files), sampling, **row)
    return [round(clips.index_of(image, 12)) for image in frames.images]


def test_a_folder_of_pictures_is_sampled_like_a_video(folder) -> None:
    assert shown(folder, Sampling(frames=4)) == [1, 4, 7, 10]  # f2 comes before f10
    assert shown(folder, Sampling("fps", fps=2), fps=4) == [1, 3, 5, 7, 9, 11]
    assert shown(folder, Sampling(frames=2), fps=4, window=(1.0, 2.0, None)) == [5, 7]
    assert shown(folder, Sampling("peak", frames=1), fps=4, window=(None, None, 2.0)) == [8]


def test_times_of_pictures_are_not_guessed(folder) -> None:
    for sampling, row in (
        (Sampling("fps"), {}),
        (Sampling(), {"window": (1.0, None, None)}),
    ):
        with pytest.raises(DataError, match="frames_fps"):
            shown(folder, sampling, **row)
    with pytest.raises(DataError, match="no picture between"):
        shown(folder, Sampling(), fps=4, window=(9.0, None, None))
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="no picture in this folder"):
        picture_files(folder / "empty")
