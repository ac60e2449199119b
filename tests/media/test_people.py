"""Whose face is meant, and what OpenFace wrote, in its own format."""

from __future__ import annotations

import numpy as np
import pytest

from affect_mllm.media.openface import FaceTrack, read_crops, read_table
from affect_mllm.media.people import boxes_at, choose, tracks
from affect_mllm.types import ConfigError, DataError

NONE = np.empty((0, 4))
BIG = np.array([[0.0, 0, 90, 90]])
SMALL = np.array([[200.0, 0, 30, 30]])
TIMES = np.arange(4.0)


def test_people_are_followed_and_one_is_chosen() -> None:
    people = tracks([np.vstack([BIG, SMALL]), SMALL + np.eye(4)[0] * 4, NONE, SMALL])
    assert len(people) == 2
    largest = choose(people, "largest", times_s=TIMES, hint=None)
    longest = choose(people, "longest", times_s=TIMES, hint=None)
    assert largest is not None
    assert largest[0].tolist() == BIG[0].tolist()
    assert longest is not None
    assert np.isnan(longest[:, 0]).tolist() == [False, False, True, False]
    hint = FaceTrack(np.array([[210.0, 5, 30, 30]]), np.array([3.2]))
    named = choose(people, "manifest", times_s=TIMES, hint=hint)
    assert named is not None
    assert named[3].tolist() == SMALL[0].tolist()
    nobody = FaceTrack(np.array([[500.0, 5, 30, 30]]), np.array([3.2]))
    assert choose(people, "manifest", times_s=TIMES, hint=nobody) is None
    assert choose([], "largest", times_s=TIMES, hint=None) is None
    with pytest.raises(DataError, match="face_boxes"):
        choose(people, "manifest", times_s=TIMES, hint=None)


def test_the_largest_total_area_counts_and_not_the_largest_face() -> None:
    one_big = np.array([[0.0, 0, 60, 60]])
    long_small = np.array([[200.0, 0, 50, 50]])
    people = tracks([np.vstack([one_big, long_small]), long_small, NONE, long_small])
    chosen = choose(people, "largest", times_s=TIMES, hint=None)
    assert chosen is not None
    assert chosen[[0, 1, 3], 0].tolist() == [200, 200, 200]


def table(path, rows, *, header=None):
    """OpenFace 2's CSV: names after ", ", 68 points as x_0 … y_67."""
    names = ["frame", "face_id", "timestamp", "confidence", "success"]
    names += [f"{axis}_{i}" for axis in "xy" for i in range(68)]
    lines = [", ".join(header or names)]
    for frame, face, seconds, confidence, success, (x, y, w, h) in rows:
        xs = np.linspace(x, x + w, 68)
        ys = np.linspace(y, y + h, 68)
        cells = [frame, face, seconds, confidence, success, *xs, *ys]
        lines.append(", ".join(f"{cell:.3f}" for cell in cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_openfaces_table_becomes_people_with_boxes(tmp_path) -> None:
    path = table(
        tmp_path / "a.csv",
        [
            (1, 0, 0.0, 0.98, 1, (10, 20, 40, 50)),
            (1, 1, 0.0, 0.95, 1, (100, 20, 10, 10)),
            (2, 0, 0.2, 0.98, 1, (20, 20, 40, 50)),
            (3, 0, 0.4, 0.98, 0, (0, 0, 0, 0)),
            (4, 0, 0.6, 0.40, 1, (900, 20, 40, 50)),
            (9, 0, 2.0, 0.90, 1, (60, 20, 40, 50)),
        ],
    )
    first, second = read_table(path, min_confidence=0.8)
    assert first.times_s.tolist() == [0, 0.2, 2.0]
    assert first.boxes.tolist() == [[10, 20, 40, 50], [20, 20, 40, 50], [60, 20, 40, 50]]
    assert len(second.times_s) == 1
    at = boxes_at(first, np.array([0.1, 0.6, 1.1, 2.3, 3.0]))
    assert at[0].tolist() == [15, 20, 40, 50]
    assert np.isnan(at[:, 0]).tolist() == [False, False, True, False, True]
    assert np.isnan(boxes_at(second, np.array([0.3, 1.0]))[:, 0]).tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column timestamp"),
        ("a, b\n1, 2\n", "no column timestamp and 138 more"),
    ],
)
def test_another_table_is_refused(tmp_path, text, reason) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=reason):
        read_table(tmp_path / "a.csv", min_confidence=0.8)


def test_a_damaged_row_is_named(tmp_path) -> None:
    path = table(tmp_path / "a.csv", [(1, 0, 0.0, 0.98, 1, (10, 20, 40, 50))])
    path.write_text(path.read_text() + "2, 0, x\n")
    with pytest.raises(DataError, match=r"a\.csv:3: 3 cells"):
        read_table(path, min_confidence=0.8)


def test_landmarks_that_are_no_numbers_are_named(tmp_path) -> None:
    """A face that OpenFace lost is told by `success`, and its cells are not looked at."""
    nan = float("nan")
    rows = [(1, 0, 0.0, 0.9, 1, (10, 20, 40, 50)), (2, 0, 0.2, 0.9, 0, (nan, nan, 9, 9))]
    path = table(tmp_path / "a.csv", rows)
    assert read_table(path, min_confidence=0.8)[0].times_s.tolist() == [0]
    path = table(tmp_path / "b.csv", [*rows, (3, 0, 0.4, 0.9, 1, (nan, nan, 9, 9))])
    with pytest.raises(DataError, match=r"b\.csv:4: landmarks that are no numbers"):
        read_table(path, min_confidence=0.8)


def test_an_array_of_crops_says_how_its_channels_are_ordered(tmp_path) -> None:
    crops = np.zeros((3, 8, 8, 3), np.uint8)
    crops[..., 0] = 200  # blue, as OpenCV orders them
    np.save(tmp_path / "a.npy", crops)
    assert read_crops(tmp_path / "a.npy", colors="bgr")[0, 0, 0].tolist() == [0, 0, 200]
    assert read_crops(tmp_path / "a.npy", colors="rgb")[0, 0, 0].tolist() == [200, 0, 0]
    with pytest.raises(ConfigError, match="array_colors"):
        read_crops(tmp_path / "a.npy", colors=None)


class Bomb:
    def __reduce__(self):
        return (open, ("/tmp/affect_mllm_must_not_exist", "w"))


def test_an_array_of_objects_is_not_executed(tmp_path) -> None:
    from pathlib import Path

    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="no Python objects"):
        read_crops(tmp_path / "a.npy", colors="rgb")
    assert not Path("/tmp/affect_mllm_must_not_exist").exists()
    np.save(tmp_path / "b.npy", np.zeros((3, 8, 8)))
    with pytest.raises(DataError, match=r"float64 \(3, 8, 8\)"):
        read_crops(tmp_path / "b.npy", colors="rgb")
