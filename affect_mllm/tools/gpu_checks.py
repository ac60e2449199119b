"""The checks of `gpu-check`, each the main of one process: `python -m … NAME` prints one JSON line.

Those of a machine are here, those of a configuration in `gpu_rows`. What trains is this project's
own trainer on a small random model (`tools/trial.py`), so that nothing has to be fetched.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from affect_mllm.borders import Borders
from affect_mllm.models.llm.attention import FUSED, Attention, arguments, attend, fused_lacks
from affect_mllm.models.llm.masks import block_causal_mask
from affect_mllm.models.pretrained import weightless
from affect_mllm.tools.gpu_matrix import EXACT, ROWS
from affect_mllm.tools.gpu_rows import SMALL, Answer, exact, made, run
from affect_mllm.tools.rehearsal import rehearse
from affect_mllm.tools.trial import STEPS, Trial
from affect_mllm.tools.trial_models import Parts, Size
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.plan.trainable import unfreeze
from affect_mllm.train.watch.peaks import Peak

GIB = 2**30
LENGTHS = (700, 64, 900, 384)
LARGE = Size(hidden=2048, layers=8, rows=4)
BF16 = Parts(dtype="bfloat16")
TIMED = 5  # steps of which the median counts
TOLERANCE = {
    "loss": 0.01,
    "gradient": 0.05,
    "attention": 0.02,
    "memory": 0.15,
    "share": 0.05,
}


def nccl() -> Answer:
    """Sum of ranks, and the algorithm's bandwidth for 256 MiB."""
    import torch.distributed as dist

    rank, world = _join()
    ones = torch.full((1 << 26,), float(rank + 1), device="cuda")
    dist.all_reduce(ones)
    same = (ones == world * (world + 1) / 2).all().int()
    dist.all_reduce(same, dist.ReduceOp.MIN)  # wrong on one rank is wrong
    right = bool(same)
    began = _now()
    for _ in range(10):
        dist.all_reduce(ones)
    seconds = (_now() - began) / 10
    rate = ones.numel() * 4 / seconds / 1e9
    return Answer(right, f"{world} ranks, {rate:.1f} GB/s")


def attention() -> Answer:
    """Values and gradients of the fused kernels of packed rows against SDPA with a mask, bf16."""
    lacking = {name: fused_lacks(name) for name in FUSED}
    errors = {name: _attention_error(name) for name, why in lacking.items() if why is None}
    said = [f"{name}: largest relative error {error:.4f}" for name, error in errors.items()]
    said += [f"{name}: {why}" for name, why in lacking.items() if why]
    held = max(errors.values()) < TOLERANCE["attention"] if errors else None
    return Answer(held, ", ".join(said))


def _attention_error(fused: str) -> float:
    """The largest relative error of one kernel's values and gradients, two queries to a key."""
    torch.manual_seed(0)
    borders, module = Borders.between(LENGTHS).to(torch.device("cuda")), torch.nn.Identity()
    segments = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    mask = block_causal_mask(segments[None]).cuda()
    shapes = [(1, heads, sum(LENGTHS), 64) for heads in (8, 4, 4)]
    inputs = [torch.randn(shape, device="cuda", dtype=torch.bfloat16) for shape in shapes]
    one, two = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    query, key, value = one
    ours, _ = attend(module, query, key, value, None, fused=fused, only=True, **arguments(borders))
    theirs = scaled_dot_product_attention(*two, attn_mask=mask, enable_gqa=True).transpose(1, 2)
    ours.float().square().sum().backward()
    theirs.float().square().sum().backward()
    pairs = [(ours, theirs), *((a.grad, b.grad) for a, b in zip(one, two, strict=True))]
    return max(_error(*pair) for pair in pairs)


def bf16(size: Size = SMALL) -> Answer:
    """One loss and gradient of the bf16 engine against the float32 one's."""
    found = []
    with made(size) as trial:
        for precision in ("fp32", "bf16"):
            trainer = trial.trainer(Launch(precision=precision))
            engine = trainer.engine
            batch = trial.batch(0).to(engine.device)
            loss = engine.forward(batch, trainer.objective).losses["lm"]
            engine.backward(loss, last=True)
            grads = [p.grad.float().flatten() for p in engine.parameters() if p.grad is not None]
            found.append((loss, torch.cat(grads)))
    loss, gradient = (_error(found[1][i], found[0][i]) for i in (0, 1))
    held = loss < TOLERANCE["loss"] and gradient < TOLERANCE["gradient"]
    return Answer(held, f"loss off by {loss:.5f}, gradient by {gradient:.4f}")


def memory(
    size: Size = LARGE,
    attention: Attention = "auto",
    peak_of: Callable[[Trial, Attention], int] | None = None,
) -> Answer:
    """What a step of the trainer holds at its peak, against what `estimate` says of it.

    `peak_of` measures: by default what CUDA allocated.
    """
    with made(size, BF16) as trial:
        with torch.device("meta"), weightless():
            shadow = trial.model(attention)
            unfreeze(shadow, trial.stage.trainable)
        shape = trial.shape(trial.batch(0))
        optimizer = trial.optimizer(shadow)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        said = rehearse(shadow, shape, optimizer, autocast=torch.bfloat16, device=device).peak
        got = (peak_of or _allocated)(trial, attention)
    off = said / got - 1
    found = f"measured {got / GIB:.3f} GiB, estimate {said / GIB:.3f} GiB ({off:+.1%})"
    return Answer(abs(off) < TOLERANCE["memory"], found)


def mfu(size: Size = LARGE) -> Answer:
    """The share of the peak that the trainer logs of a bf16 step: the median of some."""
    shares, peak = shares_of_peak(size)
    share = median(shares)
    rate = share * peak.flops_per_s / 1e12
    found = f"{rate:.1f} TFLOP/s, {share:.0%} of the {peak.source} peak"
    return Answer(share > TOLERANCE["share"], found)


def shares_of_peak(size: Size = LARGE) -> tuple[list[float], Peak]:
    """The shares of several bf16 steps as the trainer logs them, and the peak that they are of."""
    with made(size, BF16) as trial:
        trainer = trial.trainer(Launch(precision="bf16"), "auto")
        batch, shares = trial.batch(0), []
        whole = {
            "examples": len(batch.sample_ids),
            "supervised_tokens": trial.shape(batch).supervised,
        }
        for step in range(TIMED + 1):
            _synchronize(trainer.engine.device)
            began = time.perf_counter()
            trial.step(trainer, min(step + 1, STEPS))
            _synchronize(trainer.engine.device)
            busy = time.perf_counter() - began
            shares.append(trainer.pace.numbers((batch,), whole, busy, 0.0)["mfu"])
    return shares[1:], trainer.pace.peak  # the first counted FLOPs


CHECKS: dict[str, Callable[..., Answer]] = {
    **{check.__name__: check for check in (nccl, attention, bf16, memory, mfu)},
    **{name: partial(exact, name) for name in EXACT},
    **{row.name: partial(run, row) for row in ROWS},
}


def _allocated(trial: Trial, attention: Attention) -> int:
    """Bytes that CUDA allocated at the peak of the second step, when the moments are there."""
    before = torch.cuda.memory_allocated()
    trainer = trial.trainer(Launch(precision="bf16"), attention)
    trial.step(trainer, 1)
    torch.cuda.reset_peak_memory_stats()
    trial.step(trainer, 2)
    return torch.cuda.max_memory_allocated() - before


def _join() -> tuple[int, int]:
    import torch.distributed as dist

    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl")
    return dist.get_rank(), dist.get_world_size()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _now() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def _error(got: Any, expected: Any) -> float:
    got, expected = got.detach().float(), expected.detach().float()
    return float((got - expected).norm() / expected.norm())


def main(name: str) -> int:
    """Run one check and print its answer; what it raises is the answer of the rank that it hit."""
    import torch.distributed as dist

    rank = os.environ.get("RANK", "0")
    try:
        answer = CHECKS[name]()
    except Exception as error:
        said = f"rank {rank}: {type(error).__name__}: {error}"
        print(json.dumps(Answer(False, said)._asdict()), flush=True)
        traceback.print_exc()
        return 1  # at once, since taking leave could wait for the others, whom torchrun ends
    if dist.is_initialized():
        dist.destroy_process_group()
    if rank == "0":
        print(json.dumps(answer._asdict()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
