"""The lean LoRA layer computes what peft's does."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from affect_mllm.models.lora import LeanLinear, lean


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
