"""The expected gradient over every group that can be drawn, through a real LLM and its branches.

Its head is cut to three tokens and an answer to two, so that all answers can be listed. It would
notice a wrong baseline, divisor, sign, shift of labels, mask, position, or end of an answer.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from affect_mllm.data.collate import collate
from affect_mllm.train.loss.answers import scored
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.policy import GroupPolicy
from affect_mllm.types import Drawn
from tests import tiny as parts

END, LIMIT, GROUP = 2, 2, 2
ANSWERS = [(END,), *((a, b) for a in (0, 1) for b in (0, 1, END))]
REWARDS = (0.1, 1.0, -0.4, 0.7, 0.0, 0.3, -1.0)


@pytest.fixture(scope="module")
def model(tiny):
    made = tiny.model("blocked")
    torch.manual_seed(6)
    made.llm.net.lm_head = nn.Linear(made.llm.hidden_size, 3)
    with torch.no_grad():
        made.llm.net.lm_head.weight.mul_(4)
        for name, parameter in made.named_parameters():
            parameter.requires_grad_("lora_" in name)
            if "lora_" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def gradients(tiny, model, **how) -> tuple[torch.Tensor, torch.Tensor]:
    """Minus the expected gradient of the loss, and that of the expected reward; flat."""
    (prompt,) = parts.examples(tiny, model, [("face", "audio", "text")], answer=None)
    trained = [p for p in model.parameters() if p.requires_grad]

    def flat(value: torch.Tensor) -> torch.Tensor:
        grads = torch.autograd.grad(value, trained, allow_unused=True)
        return torch.cat([
            (torch.zeros_like(p) if g is None else g).double().flatten()
            for p, g in zip(trained, grads, strict=True)
        ])  # fmt: skip

    found = model(collate([prompt.answered(ANSWERS)], pad_id=0), scored)
    chances = found.answers.sums(found.logps).exp()
    assert float(chances.sum().detach()) == pytest.approx(1, abs=1e-5), "every answer is listed"
    shares = chances.detach().tolist()
    true = flat((chances * torch.tensor(REWARDS)).sum())
    loss = GroupPolicy(**how)
    objective = Objective({"it": loss})
    mean = torch.zeros_like(true)
    for group in itertools.product(range(len(ANSWERS)), repeat=GROUP):
        ids = [ANSWERS[n] for n in group]
        drawn = Drawn(
            tuple(REWARDS[n] for n in group), tuple((0.0,) * len(own) for own in ids), LIMIT
        )
        batch = collate([prompt.answered(ids, drawn)], pad_id=0)
        if not loss.active(batch, loss.count(batch)):
            continue
        value = model(batch, objective).losses["it"] / loss.count(batch)
        mean += shares[group[0]] * shares[group[1]] * flat(value)
    return -mean, true


def test_the_constant_divisor_without_a_deviation_is_the_gradient_of_the_reward(
    tiny, model
) -> None:
    mean, true = gradients(tiny, model)
    assert true.abs().max() > 1e-4
    factor = (GROUP - 1) / (GROUP * LIMIT)
    torch.testing.assert_close(mean, factor * true, rtol=1e-3, atol=2e-5 * float(true.abs().max()))


@pytest.mark.parametrize("how", [{"over": "answers"}, {"over": "tokens"}, {"scale": "std"}])
def test_no_other_is(tiny, model, how) -> None:
    mean, true = gradients(tiny, model, **how)
    assert float(nn.functional.cosine_similarity(mean, true, dim=0)) < 0.9999
