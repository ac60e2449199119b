"""The lean LoRA layer computes what peft's does; LoRA that nothing could keep is refused."""

from __future__ import annotations

import re

import pytest
import torch
import yaml
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.llm.lora import LeanLinear, lean
from affect_mllm.train.plan.trainable import named, select
from affect_mllm.types import ConfigError
from tests.tiny import Tiny


def net(config: LoraConfig, dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    made = inject_adapter_in_model(config, nn.Sequential(nn.Linear(8, 12), nn.Linear(12, 6)))
    for name, parameter in made.named_parameters():
        nn.init.normal_(parameter)  # B starts at zero, where nothing could differ
        lora = "lora_" in name
        parameter.requires_grad_(lora)
        parameter.data = parameter.data if lora else parameter.data.to(dtype)
    return made


def config(**options: object) -> LoraConfig:
    return LoraConfig(r=3, lora_alpha=7, target_modules=["0", "1"], **options)


def results(module: nn.Module, inputs: torch.Tensor, *, autocast: bool) -> list[torch.Tensor]:
    inputs = inputs.clone().requires_grad_()
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = module(inputs)
    wanted = [inputs, *(p for p in module.parameters() if p.requires_grad)]
    return [output.float(), *torch.autograd.grad(output.float().square().sum(), wanted)]


@pytest.mark.parametrize(
    ("dtype", "autocast", "tolerance"),
    [
        (torch.float32, False, 1e-5),
        (torch.bfloat16, False, 0.05),
        (torch.bfloat16, True, 0.05),
    ],
)
@pytest.mark.parametrize("options", [{}, {"lora_dropout": 0.5}, {"use_rslora": True}])
def test_output_and_gradients_are_pefts(dtype, autocast, tolerance, options) -> None:
    ours, theirs = net(lean(config(**options)), dtype), net(config(**options), dtype)
    assert sum(isinstance(m, LeanLinear) for m in ours.modules()) == 2
    assert not any(isinstance(m, LeanLinear) for m in theirs.modules())
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    inputs = torch.randn(5, 8, dtype=dtype)
    for one, two in zip(
        results(ours, inputs, autocast=autocast),
        results(theirs, inputs, autocast=autocast),
        strict=True,
    ):
        assert one.dtype == two.dtype
        scale = two.abs().max()
        torch.testing.assert_close(one / scale, two / scale, rtol=0, atol=tolerance)


def test_dora_and_switched_off_adapters_are_left_to_peft() -> None:
    inputs = torch.randn(5, 8)
    ours, theirs = net(lean(config(use_dora=True)), torch.float32), None
    theirs = net(config(use_dora=True), torch.float32)
    torch.testing.assert_close(ours(inputs), theirs(inputs))
    for module in ours.modules():
        if isinstance(module, LeanLinear):
            module.enable_adapters(False)
    plain = nn.Sequential(*(layer.base_layer for layer in ours))
    torch.testing.assert_close(ours(inputs), plain(inputs))


def causal_lm(tiny: Tiny, name: str, **lora: object) -> LanguageModel:
    return LanguageModel(str(tiny.root / name), dtype="float32", lora=LoraConfig(r=2, **lora))


@pytest.mark.parametrize(
    ("name", "target", "cause"),
    [
        ("llm", "embed_tokens", r"embed_tokens: embeddings and head are one matrix"),
        ("llm", "lm_head", r"lm_head: embeddings and head are one matrix"),
        ("llm_untied", "lm_head", r"lm_head: the losses use its own weights alone"),
    ],
)
def test_branches_that_could_not_be_merged_are_refused_before_training(
    tiny, name, target, cause
) -> None:
    with pytest.raises(ConfigError, match=rf"llm\.lora\.target_modules: .*{cause}") as refused:
        causal_lm(tiny, name, target_modules=[target])
    assert advised(tiny, name, refused.value) == {"llm": "embed_tokens"}.get(name, "lm_head")


@pytest.mark.parametrize("name", ["llm", "llm_untied"])
@pytest.mark.parametrize(
    ("option", "value"), [("modules_to_save", ["lm_head"]), ("layer_replication", [[0, 2], [1, 2]])]
)
def test_what_is_more_than_branches_is_refused_by_its_name(tiny, name, option, value) -> None:
    with pytest.raises(ConfigError, match=rf"llm\.lora\.{option}: \[") as refused:
        causal_lm(tiny, name, target_modules=["q_proj"], **{option: value})
    assert advised(tiny, name, refused.value) == {"llm": "embed_tokens"}.get(name, "lm_head")


def advised(tiny: Tiny, name: str, refused: ConfigError) -> str:
    """The matrix that the advice has trained in full, after taking it."""
    taken = re.search(r"trainable: (\{.*\})", refused.fix)
    assert taken is not None
    model = nn.ModuleDict({"llm": causal_lm(tiny, name, target_modules=["q_proj"])})
    select(model, named(yaml.safe_load(taken[1])))
    (trained,) = (name for name, parameter in model.named_parameters() if parameter.requires_grad)
    return trained.split(".")[-2]


def test_branches_at_embeddings_of_their_own_learn_and_are_seen(tiny) -> None:
    llm = causal_lm(tiny, "llm_untied", target_modules=["embed_tokens"])
    assert llm.lora_is_zero()
    for name, parameter in llm.net.named_parameters():
        if "lora_embedding_A" in name:
            parameter.data.normal_()
    ids = torch.arange(20)[None]
    assert not torch.equal(llm.embed(ids), llm.net.get_input_embeddings().base_layer(ids))
    assert not llm.lora_is_zero()
