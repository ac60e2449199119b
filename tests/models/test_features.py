"""Pre-extracted features are states as they are, and refused where they cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from affect_mllm.models.encoders.features import FeatureEncoder
from affect_mllm.types import DataError


def test_a_vector_is_one_state_and_a_sequence_is_kept() -> None:
    model = FeatureEncoder(hidden_size=3)
    assert model.transform(np.ones(3)).shape == (1, 3)
    sequence = model.transform(np.arange(6.0).reshape(2, 3))
    assert sequence.dtype == np.float32
    values = torch.from_numpy(sequence)[None]
    got = model(values, torch.tensor([[True, False]]))
    assert got.values.tolist() == [[[0, 1, 2], [0, 0, 0]]]
    assert not list(model.parameters())


@pytest.mark.parametrize("bad", [np.ones(4), np.ones((2, 4)), np.ones((1, 2, 3)), np.ones((0, 3))])
def test_another_width_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"\[3\] or \[S, 3\]"):
        FeatureEncoder(hidden_size=3).transform(bad)


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(DataError, match="not finite"):
        FeatureEncoder(hidden_size=2).transform(np.array([1.0, np.nan]))


def test_a_rows_feature_file_is_read_as_the_states_of_its_modality(tmp_path) -> None:
    from affect_mllm.data.reader import Reader
    from affect_mllm.types import Sample

    states = np.arange(8.0).reshape(2, 4)
    np.save(tmp_path / "a.npy", states)
    sample = Sample("a", tmp_path, media={"features.audio": "a.npy"})
    clip = Reader().read(sample, {"audio": FeatureEncoder(hidden_size=4).transform})
    assert np.array_equal(clip.arrays["audio"], states)
    with pytest.raises(DataError, match=r"\[5\] or \[S, 5\]"):
        Reader().read(sample, {"audio": FeatureEncoder(hidden_size=5).transform})
