"""What a model cannot do with is known before it computes: the same that its modules refuse."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from affect_mllm.media.waveform import Waveform, WaveformWindows
from affect_mllm.models.compressor.hybrid import HybridCompressor
from affect_mllm.models.compressor.merger import Merger
from affect_mllm.models.compressor.poolers import QFormerPooler
from affect_mllm.models.compressor.projector import Projector
from affect_mllm.models.compressor.slow_fast import SlowFastPooler
from affect_mllm.models.encoders.hubert import SpeechEncoder, StridedStates
from affect_mllm.models.fusion.qformer import QFormerFusion
from affect_mllm.models.qformer import QFormerShape
from affect_mllm.models.spans import Limit, Limits, StatesPerStep
from affect_mllm.types import DataError
from tests import tiny_encoders

SHAPE = QFormerShape(hidden_size=16, layers=1, heads=2, intermediate_size=16)
WAV2VEC2 = tuple(zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True))


def test_wav2vec2s_least_is_25_ms() -> None:
    assert StridedStates(WAV2VEC2, pooled=False).least == 400


@pytest.mark.parametrize("strides", [WAV2VEC2, ((10, 5), (3, 2)), ((1, 1),), ((7, 3), (2, 4))])
@pytest.mark.parametrize("pooled", [False, True])
def test_the_least_is_where_counting_gives_one(strides, pooled) -> None:
    count = StridedStates(strides, pooled=pooled)
    counts = [count(np.zeros(samples)) for samples in range(1, count.least + 1)]
    assert counts == [0] * (count.least - 1) + [1]


@pytest.mark.parametrize("name", ["hubert", "wav2vec2", "wavlm", "data2vec"])
def test_a_speech_encoder_takes_its_least_and_no_less(tmp_path, name) -> None:
    folder = tiny_encoders.folder(tmp_path, name)
    encoder = SpeechEncoder(str(folder), transform=Waveform())
    limit = Limit(encoder.state_count(), encoder.least_steps())
    for samples in (encoder.least_steps(), encoder.least_steps() - 1):
        sound = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
        mask = torch.ones(1, samples, dtype=torch.bool)
        if samples == encoder.least_steps():
            assert limit.count("audio", sound, encoded=False) == 1
            assert encoder(torch.from_numpy(sound)[None], mask).values.shape[1] == 1
        else:
            with pytest.raises(DataError, match=rf"audio: {samples} steps(.|\n)*{samples + 1} or"):
                limit.count("audio", sound, encoded=False)
            with pytest.raises(DataError):
                encoder(torch.from_numpy(sound)[None], mask)


def test_windows_are_filled_up_so_that_any_sound_will_do() -> None:
    windows = WaveformWindows(windows=3, duration_s=0.1)(np.ones(32, np.float32))
    assert Limit(StridedStates(WAV2VEC2, pooled=True), 400).count("a", windows, encoded=False) == 3


def qformer(width: int) -> QFormerPooler:
    return QFormerPooler(width, num_tokens=2, positions=5, shape=SHAPE)


MADE = {
    "projector": lambda: Projector(8, 16, pooler=qformer),
    "merger": lambda: Merger(8, 16, pooler=qformer, merge=2, hidden_size=16),
    "hybrid": lambda: HybridCompressor(
        8, 16, expert=lambda i, o, output_rms: Merger(i, o, pooler=qformer, merge=2, hidden_size=16)
    ),
    "grid": lambda: Merger(8, 16, pooler=None, merge=4, grid=2, hidden_size=16),
    "slow_fast": lambda: Projector(8, 16, pooler=lambda w: SlowFastPooler(w, grid=2)),
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_refused_is_what_the_compressor_refuses(name) -> None:
    torch.manual_seed(0)
    made = MADE[name]()
    limit = Limit(StatesPerStep(), multiple=made.frame_states, most=made.most_states)
    refused = []
    for count in range(1, 14):
        states, mask = torch.randn(1, count, 8), torch.ones(1, count, dtype=torch.bool)
        verdicts = []
        for ask in (
            lambda s=states, m=mask: made(s, m),
            lambda s=states: limit.count("x", s[0].numpy(), encoded=True),
        ):
            try:
                ask()
            except DataError:
                verdicts.append(True)
            else:
                verdicts.append(False)
        assert verdicts[0] == verdicts[1], count
        refused.append(verdicts[0])
    assert True in refused
    assert False in refused


def test_streams_are_counted_together_where_they_are_read_together() -> None:
    fusion = QFormerFusion({"a": 8, "v": 8}, positions=6, common_size=16, shape=SHAPE)
    limits = Limits(dict.fromkeys(("audio", "face"), Limit(StatesPerStep())), fusion.most_states)
    limits = pickle.loads(pickle.dumps(limits))  # as the loader's workers get them
    limits({"audio": np.ones((2, 8)), "face": np.ones((4, 8))}, encoded=True)
    with pytest.raises(DataError, match=r"audio, face: 7 states together(.|\n)*at most 6"):
        limits({"audio": np.ones((3, 8)), "face": np.ones((4, 8))}, encoded=True)


def test_the_models_limits_are_of_its_parts(tiny) -> None:
    model = tiny.model()
    assert {*model.limits().each} == {*model.branches}
    assert model.limits().each["frame"].multiple == model.compressors["visual"].frame_states
