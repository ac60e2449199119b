"""What TRL's loss functions give on made tensors, recorded for tests that need no TRL.

`pip install trl==1.16.0 datasets` (any environment), then
`python benchmarks/record_trl.py tests/train/loss/recorded/trl.json`. No trainer is built: methods
are called with a stub of what they read. Everything is float64.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

PAIRS, WIDTH = 5, 7
GROUP, ANSWERS = 4, 8
Case = dict[str, Any]


def main(out: str) -> None:
    """Record all cases."""
    torch.manual_seed(20)
    torch.set_default_dtype(torch.float64)
    found = {
        "trl": importlib.metadata.version("trl"),
        "preference": preference(),
        "odds_ratio": odds_ratio(),
        "simpo": simpo(),
        "policy": policy(),
    }
    Path(out).write_text(json.dumps(found) + "\n")


def stub(**more: Any) -> Any:
    """What the methods read of a trainer of one process."""

    def same(value: torch.Tensor, **_: Any) -> torch.Tensor:
        return value

    accelerator = SimpleNamespace(
        device=torch.device("cpu"),
        gather=same,
        gather_for_metrics=same,
        reduce=same,
        num_processes=1,
        sync_gradients=True,
    )
    return SimpleNamespace(
        accelerator=accelerator,
        model=SimpleNamespace(training=True),
        _metrics=defaultdict(lambda: defaultdict(list)),
        aux_loss_enabled=False,
        **more,
    )


def masked(lengths: list[int], width: int) -> torch.Tensor:
    """`[N, width]`, 1 on the first tokens of each row."""
    return (torch.arange(width) < torch.tensor(lengths).unsqueeze(1)).long()


def preference() -> Case:
    """`DPOTrainer._compute_loss`: losses and gradients of the tokens' log-probabilities."""
    from trl.trainer.dpo_trainer import DPOTrainer

    lengths = [1, 3, 7, 2, 5, 4, 3, 1, 6, 5]  # the preferred answers, then the others
    mask = torch.cat([torch.zeros(2 * PAIRS, 1).long(), masked(lengths, WIDTH)], 1)
    logps = -torch.rand(2 * PAIRS, WIDTH) * 3 * mask[:, 1:]
    before = (-torch.rand(2 * PAIRS, WIDTH) * 3 * mask[:, 1:]).sum(1)
    found = []
    kinds = ("sigmoid", "hinge", "ipo", "robust", "sigmoid_norm", "sft")
    for kind, beta in [(kind, beta) for kind in kinds for beta in (0.1, 0.7)]:
        given = logps.clone().requires_grad_()
        numbers = torch.zeros(2 * PAIRS, WIDTH)
        outputs = SimpleNamespace(log_probs=given, entropy=numbers, mean_logits=numbers)
        outputs.is_top1 = numbers.bool()
        trainer = stub(
            ld_alpha=None,
            precompute_ref_logps=True,
            f_divergence_type="reverse_kl",
            loss_types=[kind],
            loss_weights=[1.0],
            beta=beta,
            label_smoothing=0.2 if kind == "robust" else 0.0,
            use_weighting=False,
            _total_train_tokens=0,
            _tp_size=1,
        )
        inputs = {
            "input_ids": torch.zeros_like(mask),
            "attention_mask": torch.ones_like(mask),
            "completion_mask": mask,
            "ref_chosen_logps": before[:PAIRS],
            "ref_rejected_logps": before[PAIRS:],
        }
        loss = DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, False)  # noqa: B023
        (grad,) = torch.autograd.grad(loss, given)
        found.append(
            {
                "kind": kind,
                "beta": beta,
                "flipped": trainer.label_smoothing,
                "loss": float(loss.detach()),
                "gradient": grad.tolist(),
            }
        )
    given = {"lengths": lengths, "logps": logps.tolist(), "reference": before.tolist()}
    return {**given, "cases": found}


def odds_ratio() -> Case:
    """`ORPOTrainer.odds_ratio_loss` of means over tokens; TRL computes it in float32."""
    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    more, less = -torch.rand(PAIRS) * 2, -torch.rand(PAIRS) * 2
    ratio, *_ = ORPOTrainer.odds_ratio_loss(stub(beta=0.3), more, less)
    return {
        "ratio": 0.3,
        "more": more.tolist(),
        "less": less.tolist(),
        "subtracted": ratio.tolist(),
    }


def simpo() -> Case:
    """`CPOTrainer.cpo_loss` with loss_type simpo, of means over tokens."""
    from trl.experimental.cpo.cpo_trainer import CPOTrainer

    more, less = -torch.rand(PAIRS) * 2, -torch.rand(PAIRS) * 2
    trainer = stub(alpha=0.0, beta=2.5, simpo_gamma=0.8, label_smoothing=0.0, loss_type="simpo")
    losses, *_ = CPOTrainer.cpo_loss(trainer, more, less)
    said = {"beta": 2.5, "gamma": 0.8, "more": more.tolist(), "less": less.tolist()}
    return {**said, "losses": losses.tolist()}


def policy() -> Case:
    """`GRPOTrainer._compute_loss`: all of its divisors, ratios, clips and the divergence."""
    from trl.trainer.grpo_trainer import GRPOTrainer

    lengths = [1, 3, 6, 2, 5, 4, 0, 6]  # one answer is masked out as a whole
    mask, width = masked(lengths, 6), 6
    logps = -torch.rand(ANSWERS, width) * 3
    old = logps + torch.randn(ANSWERS, width) * 0.4
    reference = logps + torch.randn(ANSWERS, width) * 0.5
    advantages = torch.tensor([1.0, -1.0, 0.5, 0.0, -2.0, 1.5, 0.3, -0.7])
    cases = [
        (loss_type, level, beta, fresh)
        for loss_type in ("grpo", "dapo", "dr_grpo")
        for level in ("token", "sequence")
        for beta in (0.0, 0.04)
        for fresh in (False, True)
    ]
    found = []
    for loss_type, level, beta, fresh in cases:
        given = logps.clone().requires_grad_()
        delta = 1.5 if loss_type == "grpo" else None
        trainer = stub(
            top_entropy_quantile=1.0,
            off_policy_mask_threshold=None,
            importance_sampling_level=level,
            beta=beta,
            loss_type=loss_type,
            epsilon_low=0.2,
            epsilon_high=0.28,
            use_vllm=False,
            current_gradient_accumulation_steps=1,
            max_completion_length=width,
            _entropy_bonus_enabled=False,
            args=SimpleNamespace(use_bias_correction_kl=True, delta=delta, steps_per_generation=1),
            _get_per_token_logps_and_entropies=lambda *_, **__: (
                given,  # noqa: B023
                torch.zeros(ANSWERS, width),
                None,
            ),
        )
        ids = torch.zeros(ANSWERS, width).long()
        inputs = {
            "prompt_ids": ids[:, :1],
            "prompt_mask": torch.ones(ANSWERS, 1).long(),
            "completion_ids": ids,
            "completion_mask": mask,
            "advantages": advantages,
            "ref_per_token_logps": reference,
            "num_items_in_batch": mask.sum(),
            **({} if fresh else {"old_per_token_logps": old}),
        }
        loss = GRPOTrainer._compute_loss(trainer, None, inputs)
        (grad,) = torch.autograd.grad(loss, given)
        found.append(
            {
                "over": {"grpo": "answers", "dapo": "tokens", "dr_grpo": "constant"}[loss_type],
                "ratio": level,
                "beta": beta,
                "clip": [0.2, 0.28],
                "cap": delta,
                "fresh": fresh,
                "loss": float(loss.detach()),
                "gradient": grad.tolist(),
            }
        )
    given = {"lengths": lengths, "logps": logps.tolist(), "old": old.tolist()}
    given |= {"reference": reference.tolist(), "advantages": advantages.tolist()}
    return {**given, "cases": found}


if __name__ == "__main__":
    main(*sys.argv[1:])
