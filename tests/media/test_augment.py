"""Random changes of pictures: decided by the seed, the same for all frames, none in evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from affect_mllm.data.features import Features
from affect_mllm.data.reader import Clip
from affect_mllm.media.augment import AugmentedPictures
from affect_mllm.types import ConfigError, Sample

IMAGES = np.random.default_rng(0).integers(60, 180, (3, 6, 8, 3), np.uint8)


def test_a_draw_depends_on_its_seed_alone() -> None:
    augment = AugmentedPictures(np.asarray)
    views = [augment.drawn((1, place))(IMAGES) for place in range(20)]
    assert all(np.array_equal(augment.drawn((1, i))(IMAGES), v) for i, v in enumerate(views))
    assert len({view.tobytes() for view in views}) > 15
    assert np.array_equal(augment.drawn(None)(IMAGES), IMAGES)
    assert np.array_equal(augment(IMAGES), IMAGES)


def test_mirroring_and_light_do_what_they_say() -> None:
    mirror = AugmentedPictures(np.asarray, flip=1, brightness=0, contrast=0).drawn((0,))
    assert np.array_equal(mirror(IMAGES), IMAGES[:, :, ::-1])
    light = AugmentedPictures(np.asarray, flip=0, brightness=0.2, contrast=0).drawn((3,))
    gains = light(IMAGES).mean((1, 2, 3)) / IMAGES.mean((1, 2, 3))
    assert gains.std() < 1e-3, "another light in each frame"
    assert 0.8 <= gains[0] <= 1.2
    assert abs(gains[0] - 1) > 0.01
    with pytest.raises(ConfigError, match=r"augment\.flip"):
        AugmentedPictures(np.asarray, flip=2)


class Still:
    def read(self, _sample, transforms):
        return Clip({"frame": transforms["frame"](IMAGES)})


def test_features_draw_for_training_and_not_for_evaluation() -> None:
    features = Features(Still(), {"frame": AugmentedPictures(np.asarray, flip=1)})
    row = Sample("a", root=None)
    first, again = (features.clip(row, seed=(1, 5)).arrays["frame"] for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, features.clip(row, seed=(1, 6)).arrays["frame"])
    assert np.array_equal(features.clip(row).arrays["frame"], IMAGES)
