"""Cheaper steps compute the same, and what cannot be had is refused."""

from __future__ import annotations

import pytest
import torch

from affect_mllm.data.collate import collate
from affect_mllm.models.llm.neftune import noisy
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.main import main
from affect_mllm.train.plan import speed as speed_module
from affect_mllm.train.plan.speed import Speed, liger_lacks
from affect_mllm.types import ConfigError, ExitCode
from tests.tiny import examples

Mix = tuple[tuple[str, ...], ...]


def trainable(tiny, settings: Speed) -> AffectMLLM:
    """A model whose LoRA and connectors train, with `settings`."""
    model = tiny.model("auto")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("compressors.") or "lora_" in name)
    settings.apply(model)
    model.train()
    return model


def step(tiny, model: AffectMLLM, mix: Mix) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of examples with these modalities, packed."""
    model.zero_grad()
    batch = collate(examples(tiny, model, mix), pad_id=0)
    loss = model(batch, Objective({"lm": TokenLoss()})).losses["lm"]
    loss.backward()
    return float(loss.detach()), {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def gradients(tiny, settings: Speed) -> tuple[float, int, dict[str, torch.Tensor]]:
    """Loss, how often a decoder layer's MLP ran, and the gradients of LoRA and connectors."""
    model = trainable(tiny, settings)
    calls: list[int] = []
    layer = model.llm.net.get_decoder().layers[1]
    layer.mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    loss, found = step(tiny, model, (("face", "text"), ("audio",)))
    return loss, len(calls), found


def test_checkpointed_activations_give_the_same_gradients(tiny) -> None:
    loss, once, grads = gradients(tiny, Speed())
    again, twice, more = gradients(tiny, Speed(gradient_checkpointing=["llm"]))
    assert (once, twice) == (1, 2)
    assert again == pytest.approx(loss)
    assert more.keys() == grads.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(more[name], grad)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # dynamo looks
def test_compiled_layers_give_the_same_gradients_whatever_the_borders(tiny) -> None:
    """And later batches compile nothing anew, of however many examples and with what borders."""
    torch._dynamo.reset()
    mixes = [
        (("face", "text"), ("audio",)),
        (("text",), ("audio", "text"), ("face",)),
        (("text",),),
    ]
    plain, compiled = trainable(tiny, Speed()), trainable(tiny, Speed(compile=True))
    for mix in mixes:
        loss, grads = step(tiny, plain, mix)
        found, more = step(tiny, compiled, mix)
        assert found == pytest.approx(loss, rel=1e-5)
        assert more.keys() == grads.keys()
        for name, grad in grads.items():
            torch.testing.assert_close(more[name], grad, rtol=1e-4, atol=1e-5)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for count in (2, 4, 5, 6, 9):
            step(tiny, compiled, ((("face",), ("audio", "text")) * count)[:count])


def test_checkpointing_frozen_encoders_is_refused(tiny) -> None:
    with pytest.raises(ConfigError, match="no encoder trains"):
        gradients(tiny, Speed(gradient_checkpointing=["encoders"]))


def test_trained_encoders_have_their_own_switch(tiny) -> None:
    model = tiny.model()
    model.encoders["audio"].requires_grad_(True)
    Speed(gradient_checkpointing=["encoders"]).apply(model)
    assert all(layer.gradient_checkpointing for layer in model.encoders["audio"].net.layers)
    assert not any(layer.gradient_checkpointing for layer in model.llm.net.get_decoder().layers)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_liger_is_refused_where_it_cannot_run_and_left_out_where_it_may_be(tiny) -> None:
    with pytest.raises(ConfigError, match=r"no CUDA device(.|\n)*speed.liger=auto"):
        Speed(liger="always").apply(tiny.model())
    Speed(liger="auto").apply(tiny.model())


def test_a_missing_liger_is_named(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(speed_module.importlib.util, "find_spec", lambda name: None)
    assert liger_lacks("llama") == "the package liger-kernel is not installed"


def test_noise_is_bounded_by_the_examples_own_length_and_only_there_in_training(tiny) -> None:
    torch.manual_seed(0)
    segments = torch.tensor([[0] * 4 + [1] * 16 + [-1] * 5])
    embeds = torch.zeros(1, 25, 64)
    noise = noisy(embeds, segments, 5.0).abs()[0]
    for start, end, tokens in ((0, 4, 4), (4, 20, 16)):
        bound = 5.0 / (tokens * 64) ** 0.5
        largest = float(noise[start:end].max())
        assert 0.9 * bound < largest <= bound
    llm = tiny.model().llm
    llm.neftune_alpha = 5.0
    ids = torch.arange(25)[None]
    assert torch.equal(llm.embed(ids, segments), llm.embed(ids))
    llm.train()
    assert not torch.equal(llm.embed(ids, segments), llm.embed(ids))


def test_one_stage_may_be_otherwise_than_the_run(tiny, tmp_path, monkeypatch) -> None:
    applied: dict[str, Speed] = {}

    def note(self: Speed, model: AffectMLLM) -> None:
        applied[f"stage {len(applied)}"] = self

    monkeypatch.setattr(Speed, "apply", note)
    only = "+stages.instruct.speed.gradient_checkpointing=[encoders]"
    given = ("~stages.align", "speed.liger=never", only)
    assert main(tiny.overrides(tmp_path, *given)) == ExitCode.DONE
    assert [list(each.gradient_checkpointing) for each in applied.values()] == [[], ["encoders"]]
    assert {each.liger for each in applied.values()} == {"never"}
    with pytest.raises(ConfigError, match="checkpoint_gradients"):
        main(tiny.overrides(tmp_path / "x", "+stages.instruct.speed.checkpoint_gradients=[llm]"))
