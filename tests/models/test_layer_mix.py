"""A learned mix of layers: it begins as their mean, learns, and is kept with the connectors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from affect_mllm import config
from affect_mllm.data.collate import collate
from affect_mllm.models import checkpoint
from affect_mllm.models.layer_mix import LayerMix
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.tools.describe import describe
from affect_mllm.tools.estimate import estimate
from affect_mllm.tools.export import export
from affect_mllm.train.main import main
from affect_mllm.types import ConfigError, ExitCode
from tests import tiny as parts
from tests.tiny import logits
from tests.train import resuming

LAYERS = "+model.encoders.audio.layers=[0,1,-1]"
MIX = (LAYERS, "+model.encoders.audio.mix=true")
TRAINS = r"+stages.align.trainable.mixes={match: 'mixes\..*', lr: 0.1}"
NAME = "mixes.audio.logits"
KINDS = [("face", "audio", "text"), ("audio",), ("face",), ("text",)]


def model_of(tiny, *overrides: str) -> AffectMLLM:
    cfg = config.compose("train", tiny.overrides(tiny.root / "unused", *overrides))
    torch.manual_seed(0)
    return config.build(cfg.model).eval()


@pytest.fixture(scope="module")
def model(tiny) -> AffectMLLM:
    return model_of(tiny, *MIX)


def test_it_begins_as_the_mean_of_the_layers(tiny, model) -> None:
    plain = model_of(tiny, LAYERS)
    assert model.encoders["audio"].hidden_size == 3 * plain.encoders["audio"].hidden_size
    reading = tiny.data.features(model.transforms(), {})
    maker = tiny.maker(model)
    found = []
    for made in (model, plain):
        examples = []
        for sample in tiny.samples[:4]:
            arrays = made.encode_clip(reading._read(sample, made.transforms()).arrays)
            examples.append(maker.make(sample, arrays, question=parts.QUESTION, answer="sad"))
        found.append(logits(made, collate(examples, pad_id=0)))
    for mixed, mean in zip(*found, strict=True):
        torch.testing.assert_close(mixed, mean, rtol=1e-5, atol=1e-5)


def test_its_gradient_is_that_of_the_sum_it_says(model) -> None:
    mix = LayerMix(3, 4).double()
    states = torch.randn(2, 5, 12, dtype=torch.float64)
    with torch.no_grad():
        mix.logits.copy_(torch.tensor([0.3, -1.0, 2.0]))
    weights = mix.logits.softmax(0)
    expected = sum(w * part for w, part in zip(weights, states.split(4, -1), strict=True))
    torch.testing.assert_close(mix(states), expected, rtol=1e-6, atol=1e-6)
    slopes = [torch.autograd.grad(each.square().sum(), mix.logits, retain_graph=True)[0]
              for each in (mix(states), expected)]  # fmt: skip
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-5)


def test_it_finds_the_layer_that_knows() -> None:
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(64, 3, 3 * 4, generator=generator)
    truth = states[..., 4:8].mean(1)
    mix = LayerMix(3, 4)
    optimizer = torch.optim.Adam(mix.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        (mix(states).mean(1) - truth).square().mean().backward()
        optimizer.step()
    assert mix.logits.softmax(0)[1] > 0.95


def test_every_batch_reaches_it(tiny, model) -> None:
    """As other ranks may have sound: a batch without any has a gradient, which is zero."""
    model.train()
    try:
        for names, moves in ((("face", "audio"), True), (("text",), False)):
            made = parts.examples(tiny, model, [names])
            model.zero_grad()
            batch = collate(made, pad_id=0)
            model(batch, lambda m, _, hidden: hidden.states.float().square().sum()).backward()
            slope = model.get_parameter(NAME).grad
            assert slope is not None
            assert bool(slope.abs().max() > 0) == moves
    finally:
        model.eval()


def test_a_sample_does_not_depend_on_its_batch(tiny, model) -> None:
    made = parts.examples(tiny, model, KINDS)
    batch = collate(made, pad_id=0, row_tokens=400)
    for example, got in zip(made, logits(model, batch), strict=True):
        alone = logits(model, collate([example], pad_id=0))[0]
        assert (got - alone).abs().max() <= 1e-5 * alone.abs().max()


def train(tiny, folder: Path, *more: str) -> Path:
    """Five steps of a stage that trains the mix; its folder."""
    given = ("stage=align", "stages.align.steps=5", *MIX, TRAINS, *more)
    assert main(tiny.overrides(folder, *given)) == ExitCode.DONE
    return folder / "align"


def losses(stage: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (stage / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> Path:
    """A stage on cached states."""
    root = tmp_path_factory.mktemp("mixed")
    return train(tiny, root / "run", f"data.cache_dir={root / 'features'}")


def test_it_trains_and_is_kept(trained) -> None:
    weights = load_file(trained / "final" / checkpoint.WEIGHTS)
    assert weights[NAME].abs().max() > 0.01
    loaded = checkpoint.load_model(trained / "final")
    torch.testing.assert_close(loaded.get_parameter(NAME).data, weights[NAME])


def test_losses_with_the_cache_are_those_without(tiny, trained, tmp_path) -> None:
    live = train(tiny, tmp_path / "live", "data.cache_dir=null")
    assert losses(trained) == pytest.approx(losses(live), rel=1e-3)


def test_it_goes_on_where_it_was(tiny, trained, tmp_path, monkeypatch) -> None:
    where = f"data.cache_dir={trained.parents[1] / 'features'}"
    given = ("stage=align", "stages.align.steps=5", *MIX, TRAINS, where)
    with monkeypatch.context() as patch:
        resuming.stop_after(2, patch)
        assert main(tiny.overrides(tmp_path / "run", *given)) == ExitCode.STOPPED
    stage = train(tiny, tmp_path / "run", where)
    twins = [load_file(each / "final" / checkpoint.WEIGHTS)[NAME] for each in (stage, trained)]
    assert torch.equal(*twins)


def test_an_exported_model_has_it(trained, tmp_path) -> None:
    proof = export(trained / "final", tmp_path / "exported")
    assert max(proof.exported, proof.merge) <= 1e-4


def test_describe_and_estimate_know_it(tiny, tmp_path) -> None:
    overrides = tiny.overrides(tmp_path, *MIX, TRAINS, "stage=align")
    found = describe(overrides)
    assert found["modules"]["mixes.audio"]["parameters"] == 3
    assert found["stages"]["align"]["groups"]["mixes"]["parameters"] == 3
    plain = estimate(tiny.overrides(tmp_path, "stage=align"), clip_s=2.0, text=(20, 5), processes=1)
    mixed = estimate(overrides, clip_s=2.0, text=(20, 5), processes=1)
    one, three = (each["stages"]["align"]["account"]["peak"] for each in (plain, mixed))
    assert three > one, "three layers of states are on the device"


def test_one_layer_is_nothing_to_mix(tiny) -> None:
    with pytest.raises(ConfigError, match="two layers or more"):
        model_of(tiny, "+model.encoders.audio.layers=[1]", "+model.encoders.audio.mix=true")


def test_a_probe_sees_each_layer_of_an_encoder_that_mixes(tiny) -> None:
    encoder = model_of(tiny, *MIX).encoders["audio"]
    width = encoder.layer_size
    assert set(encoder.each_layer().values()) == {width}
    assert encoder.mixed == 0
