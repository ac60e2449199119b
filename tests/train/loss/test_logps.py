"""Log-probabilities of tokens: torch's own log_softmax, and never more than a chunk of logits."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear, log_softmax
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from affect_mllm.train.loss.logps import token_logps


def given(count: int, *, bias: bool, frozen: bool, dtype: torch.dtype = torch.float64):
    torch.manual_seed(count)
    states = torch.randn(count, 5, dtype=dtype, requires_grad=True)
    weight = torch.randn(11, 5, dtype=dtype, requires_grad=not frozen)
    offset = torch.randn(11, dtype=dtype, requires_grad=not frozen) if bias else None
    return states, weight, offset, torch.randint(0, 11, (count,))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_gradients_and_entropies_are_those_of_log_softmax(
    count: int, frozen: bool, bias: bool, temperature: float
) -> None:
    states, weight, offset, targets = given(count, bias=bias, frozen=frozen)
    logs = log_softmax(linear(states, weight, offset) / temperature, 1)
    theirs = logs[torch.arange(count), targets]
    ours, entropies = token_logps(states, weight, offset, targets, chunk=4, temperature=temperature)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(entropies, -(logs.exp() * logs).sum(1))
    assert not entropies.requires_grad
    factors = torch.randn(count, dtype=torch.float64)
    leaves = [each for each in (states, weight, offset) if each is not None and each.requires_grad]
    for got, expected in zip(
        torch.autograd.grad((factors * ours).sum(), leaves),
        torch.autograd.grad((factors * theirs).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(got, expected)


def test_one_token_s_gradient_does_not_reach_another_s_state() -> None:
    states, weight, offset, targets = given(9, bias=False, frozen=True)
    ours, _ = token_logps(states, weight, offset, targets, chunk=2)
    (grad,) = torch.autograd.grad(ours[4], states)
    assert grad[4].abs().min() > 0
    assert not grad[[0, 1, 2, 3, 5, 6, 7, 8]].any()


@pytest.mark.parametrize("frozen", [True, False])
def test_never_more_than_a_chunk_of_logits(frozen: bool) -> None:
    states, weight, offset, targets = given(64, bias=False, frozen=frozen)

    class Largest(TorchDispatchMode):
        rows = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            found = func(*args, **(kwargs or {}))
            for each in tree_leaves(found):
                if isinstance(each, torch.Tensor) and each.shape[-1:] == (11,) and each.ndim == 2:
                    self.rows = max(self.rows, len(each))
            return found

    with Largest() as seen:
        token_logps(states, weight, offset, targets, chunk=8)[0].sum().backward()
    assert seen.rows == 8


def test_in_bfloat16_the_numbers_are_float32_and_near() -> None:
    states, weight, offset, targets = given(50, bias=False, frozen=True, dtype=torch.float32)
    exact, _ = token_logps(states, weight, offset, targets, chunk=16)
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = token_logps(states, weight, offset, targets, chunk=16)
    assert half.dtype == torch.float32
    assert 0 < (half - exact).abs().mean() < 0.05
