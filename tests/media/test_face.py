"""The face detector on real pictures, following, cropping and interpolating."""

from __future__ import annotations

import numpy as np
import pytest

from affect_mllm.config import weights_path
from affect_mllm.media.face import FaceDetector, crop_faces, interpolate_boxes
from affect_mllm.media.people import choose, tracks
from affect_mllm.types import CheckpointError, DataError


@pytest.fixture(scope="session")
def detector() -> FaceDetector:
    return FaceDetector(weights_path("asset:mtcnn"))


@pytest.fixture(scope="session")
def astronaut():
    import skimage.data

    return skimage.data.astronaut()


# Drawn by eye about the astronaut's face, forehead to chin: x, y, width, height.
FACE = np.array([178.0, 62.0, 90.0, 110.0])


def overlap(a, b):
    """Intersection over union of two x, y, width, height boxes."""
    low = np.maximum(a[:2], b[:2])
    high = np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    shared = np.prod(np.clip(high - low, 0, None))
    return shared / (np.prod(a[2:]) + np.prod(b[2:]) - shared)


def test_finds_the_astronauts_face_and_nothing_else(detector, astronaut):
    found = detector.detect(astronaut)
    assert found.boxes.shape == (1, 4)
    assert overlap(found.boxes[0], FACE) > 0.8
    assert found.scores[0] > 0.95


@pytest.mark.parametrize("name", ["coffee", "rocket", "chelsea"])
def test_finds_no_face_where_there_is_none(detector, name):
    import skimage.data

    found = detector.detect(getattr(skimage.data, name)())
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)


def test_a_picture_smaller_than_a_face(detector):
    assert len(detector.detect(np.zeros((20, 30, 3), np.uint8)).boxes) == 0


def scene(face, places, size):
    """Frames with `face` pasted at (x, y, side) places; None is a frame without."""
    from PIL import Image

    frames = []
    for people in places:
        canvas = Image.new("RGB", size, (90, 110, 120))
        for x, y, side in people:
            canvas.paste(Image.fromarray(face).resize((side, side)), (x, y))
        frames.append(np.asarray(canvas))
    return np.stack(frames)


def test_follows_one_person_and_marks_frames_without(detector, astronaut):
    face = astronaut[20:220, 120:320]
    places = [
        [(10, 20, 200), (420, 60, 110)],
        [(60, 30, 200), (420, 60, 110)],
        [(420, 60, 110)],
        [(110, 30, 200), (420, 60, 110)],
    ]
    frames = scene(face, places, (560, 260))
    people = tracks([detector.detect(frame).boxes for frame in frames])
    boxes = choose(people, "largest", times_s=np.arange(4.0), hint=None)
    assert boxes.shape == (4, 4)
    assert np.isnan(boxes[2]).all()
    seen = boxes[[0, 1, 3]]
    # In the pasted 200 pixel square the face begins at (58, 42) and is 90 x 110.
    for box, (x, y) in zip(seen, [(10, 20), (60, 30), (110, 30)], strict=True):
        assert overlap(box, np.array([x + 58, y + 42, 90.0, 110.0])) > 0.6


def test_missing_and_wrong_weights(tmp_path):
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(CheckpointError, match="no such file"):
        FaceDetector(tmp_path).detect(image)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="MTCNN weights"):
        FaceDetector(tmp_path).detect(image)


def ramp(height=40, width=60):
    """A frame whose red is the column and green the row."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0], frame[..., 1] = np.arange(width)[None], np.arange(height)[:, None]
    return frame


def test_crops_are_square_centred_and_have_their_margin():
    crop = crop_faces(ramp()[None], np.array([[20.0, 10, 10, 20]]), size=24, margin=0.1)[0]
    np.testing.assert_array_equal(crop[0, :, 0], np.arange(13, 37))
    np.testing.assert_array_equal(crop[:, 0, 1], np.arange(8, 32))


def test_crops_repeat_the_edge():
    crop = crop_faces(ramp()[None], np.array([[-5.0, -5, 20, 20]]), size=20, margin=0)[0]
    np.testing.assert_array_equal(crop[0, :, 0], [0] * 5 + list(range(15)))
    np.testing.assert_array_equal(crop[:, 0, 1], [0] * 5 + list(range(15)))
    assert crop_faces(ramp()[None], np.array([[5.0, 5, 20, 20]])).shape == (1, 224, 224, 3)


@pytest.mark.parametrize("box", [[np.nan] * 4, [0, 0, 0, 10], [100, 0, 10, 10], [-20, 0, 10, 10]])
def test_a_box_that_cannot_be_cut_out(box):
    with pytest.raises(DataError, match="frame 0"):
        crop_faces(ramp()[None], np.array([box], float))


def test_boxes_and_frames_must_match():
    with pytest.raises(DataError, match=r"expected: \(1, 4\)"):
        crop_faces(ramp()[None], np.zeros((2, 4)))


def test_interpolation():
    boxes = [[0, 0, 10, 10], [10, 20, 10, 30]]
    got = interpolate_boxes([1.0, 2.0], boxes, [0.0, 1.0, 1.5, 2.0, 9.0])
    np.testing.assert_allclose(got[[0, 1]], [boxes[0]] * 2)
    np.testing.assert_allclose(got[2], [5, 10, 10, 20])
    np.testing.assert_allclose(got[[3, 4]], [boxes[1]] * 2)
    gap = interpolate_boxes([0, 1, 2], [[0] * 4, [np.nan] * 4, [2] * 4], [0.0, 0.5, 2.0])
    assert np.isnan(gap[1]).all()
    assert np.isfinite(gap[[0, 2]]).all()
    with pytest.raises(DataError, match="ascending"):
        interpolate_boxes([2.0, 1.0], boxes, [0.0])
    with pytest.raises(DataError, match="N > 0"):
        interpolate_boxes([], np.empty((0, 4)), [0.0])
