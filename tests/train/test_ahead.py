"""What the last stage would refuse when it begins is refused before the first step of all."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from affect_mllm import config
from affect_mllm.tools.train import benchmark, main
from affect_mllm.train import ahead
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.plan.stage import Stage
from affect_mllm.types import AffectError, ConfigError

VAD = "+stages.instruct.losses.vad={_target_: affect_mllm.train.loss.heads.VADRegression}"
BEST = "+stages.instruct.best={_target_: affect_mllm.train.plan.stage.Best, metric: val/loss}"
ASKED = "+stages.instruct.benchmarks={_target_: affect_mllm.train.plan.stage.Asked, names: [%s]}"


def composed(tiny, *more: str) -> tuple[Any, list[Stage]]:
    cfg = config.compose("train", tiny.overrides(tiny.root / "unused", *more))
    return cfg, [config.build(node, kind=Stage) for node in cfg.stages.values()]


def said(tiny, model, *more: str) -> str:
    cfg, stages = composed(tiny, *more)
    with pytest.raises(ConfigError) as refused:
        ahead.check_stages(model, stages, config.build(cfg.data), seed=1)
    return str(refused.value)


@pytest.fixture(scope="module")
def model(tiny):
    return tiny.model()


@pytest.mark.parametrize(
    ("override", "place", "why"),
    [
        ("stages.instruct.trainable.lora.match=nowhere", "trainable.lora.match", "matches no"),
        (VAD, "trainable", "no group has heads.vad"),
        (
            "+stages.instruct.copy.mine={source: a_part, target: another}",
            "copy",
            "no parameter has 'a_part'",
        ),
        ("+stages.instruct.copy.mine={source: general, target: nobody}", "copy", "has no twin"),
        ("+stages.instruct.trainable.eyes={match: 'encoders\\..*', lr: 1}", "trainable", "cache"),
    ],
)
def test_the_last_stage_is_refused_by_its_name(tiny, model, override, place, why) -> None:
    found = said(tiny, model, override)
    assert found.startswith(f"stages.instruct.{place}: ")
    assert why in found


def test_a_look_leaves_the_model_and_the_random_numbers_alone(tiny, model) -> None:
    cfg, stages = composed(tiny, VAD, "+stages.instruct.trainable.heads={match: 'heads.*', lr: 1}")
    before, weights = torch.random.get_rng_state(), model.state_dict()
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    ahead.check_stages(model, stages, config.build(cfg.data), seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not model.heads
    after = model.state_dict()
    assert weights.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in weights.items())


def test_a_transform_that_does_not_fit_the_weights_is_refused(tiny) -> None:
    cfg, stages = composed(tiny, "model.encoders.audio.transform.n_mels=128")
    with pytest.raises(ConfigError, match=r"model\.encoders\.audio\.transform: (?s:.*)n_mels"):
        ahead.check_stages(config.build(cfg.model), stages, config.build(cfg.data), seed=1)


def test_a_picture_size_that_does_not_fit_the_weights_is_refused(tiny, model, monkeypatch) -> None:
    visual = model.encoders["visual"]

    def fixed(values: torch.Tensor, mask: torch.Tensor) -> None:
        raise ValueError(f"Input image size {tuple(values.shape[-2:])} doesn't match 224\nmore")

    monkeypatch.setattr(visual, "forward", fixed)
    found = said(tiny, model)
    assert "model.encoders.visual.transform: " in found
    assert "doesn't match 224\n  expected" in found


def without_template(tiny, folder: Path) -> str:
    shutil.copytree(tiny.root / "llm", folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    kept = {k: v for k, v in json.loads(path.read_text()).items() if k != "chat_template"}
    path.write_text(json.dumps(kept))
    return str(folder)


def test_a_tokenizer_without_a_template_is_refused_before_a_step(tiny, tmp_path) -> None:
    llm = without_template(tiny, tmp_path / "llm")
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match="no chat template"):
        main(tiny.overrides(run, f"model.llm.model={llm}"))
    assert not run.exists(), "nothing was begun"


@pytest.mark.parametrize(
    ("override", "why"),
    [
        (BEST, r"stages\.instruct\.best\.metric: val/loss"),
        (ASKED % "nothing_such", "nothing_such"),
        (ASKED % "synthetic", "val"),
        ("+stages.instruct.init_from=/nowhere", "no such folder"),
    ],
)
def test_what_needs_no_model_is_refused_without_one(tiny, override: str, why: str) -> None:
    cfg, stages = composed(tiny, override)
    data = config.build(cfg.data)
    with pytest.raises(AffectError, match=why):
        ahead.check_settings(stages, data, Launch(precision="fp32"), benchmark)


def test_a_stage_may_start_from_one_that_runs_before_it(tiny, tmp_path) -> None:
    """Its folder is not there yet; of a stage that comes later it would never be."""
    for name, refused in (("align", False), ("instruct", True)):
        origin = tmp_path / name / "final"
        cfg, stages = composed(tiny, f"+stages.emotion.init_from={origin}")
        data = config.build(cfg.data)
        with pytest.raises(AffectError) if refused else contextlib.nullcontext():
            ahead.check_settings(stages, data, Launch(precision="fp32"), benchmark)


def test_a_batch_smaller_than_the_processes_is_refused_with_the_number_to_set(
    tiny, monkeypatch
) -> None:
    def check(*more: str) -> None:
        cfg, stages = composed(tiny, "stages.emotion.batch_size=3", *more)
        data, launch = config.build(cfg.data), config.build(cfg.launch)
        ahead.check_settings(stages, data, launch, None)

    monkeypatch.setenv("WORLD_SIZE", "3")
    check()
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError) as refused:
        check()
    said = str(refused.value)
    assert "stages.emotion.batch_size: 3 examples an update, on 4 processes" in said
    assert "1 of them would do nothing" in said
    advised = re.findall(r"stages\.emotion\.(?:batch_size|steps)=\d+", said)
    assert len(advised) == 2
    check(*advised)


def test_an_int8_base_is_refused_where_its_weights_would_be_split() -> None:
    node = {"llm": {"quantize": "int8"}}
    ahead.check_quantized(node, Launch(strategy="zero2"))
    ahead.check_quantized({"llm": {"quantize": "nf4"}}, Launch(strategy="fsdp2"))
    with pytest.raises(ConfigError, match=r"model\.llm\.quantize: int8, with .*fsdp2"):
        ahead.check_quantized(node, Launch(strategy="fsdp2"))
