"""The checks of `gpu-check`, each the main of one process: `python -m … NAME` prints one JSON line.

They use a small random Llama of real shapes, so that nothing has to be fetched.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from affect_mllm.models.attention import Borders, flash_lacks
from affect_mllm.models.llm import block_causal_mask
from affect_mllm.train.devices import published

LENGTHS = (700, 64, 900, 384)
STEPS = 3
TOLERANCE = {"loss": 0.01, "gradient": 0.05, "attention": 0.02, "zero": 1e-3}


class Answer(NamedTuple):
    """Whether it held (None: it could not be tried), and what was found."""

    held: bool | None
    found: str


def nccl() -> Answer:
    """Sum of ranks, and the algorithm's bandwidth for 256 MiB."""
    import torch.distributed as dist

    rank, world = _join()
    ones = torch.full((1 << 26,), float(rank + 1), device="cuda")
    dist.all_reduce(ones)
    right = bool((ones == world * (world + 1) / 2).all())
    began = _now()
    for _ in range(10):
        dist.all_reduce(ones)
    seconds = (_now() - began) / 10
    rate = ones.numel() * 4 / seconds / 1e9
    return Answer(right, f"{world} ranks, {rate:.1f} GB/s")


def flash() -> Answer:
    """Values and gradients of varlen flash-attn against SDPA with a mask, bf16."""
    lacking = flash_lacks()
    if lacking:
        return Answer(None, lacking)
    from flash_attn import flash_attn_varlen_func

    torch.manual_seed(0)
    segments = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS)).cuda()
    borders = Borders.of(segments)
    shape = (len(segments), 8, 64)
    inputs = [torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
    one, two = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    limits = (borders.starts, borders.starts, borders.longest, borders.longest)
    ours = flash_attn_varlen_func(*one, *limits, causal=True)
    theirs = scaled_dot_product_attention(
        *(x.transpose(0, 1)[None] for x in two), attn_mask=block_causal_mask(segments[None])
    )[0].transpose(0, 1)
    ours.float().square().sum().backward()
    theirs.float().square().sum().backward()
    errors = [
        _error(ours, theirs),
        *(_error(a.grad, b.grad) for a, b in zip(one, two, strict=True)),
    ]
    return Answer(max(errors) < TOLERANCE["attention"], f"largest relative error {max(errors):.4f}")


def bf16() -> Answer:
    """One loss and gradient in bf16 autocast against float32."""
    found = []
    for enabled in (False, True):
        net = _net().cuda()
        with torch.autocast("cuda", torch.bfloat16, enabled=enabled):
            loss = _loss(net, 0)
        loss.backward()
        grads = torch.cat(
            [p.grad.float().flatten() for p in net.parameters() if p.grad is not None]
        )
        found.append((loss.detach(), grads))
    loss, gradient = (_error(found[1][i], found[0][i]) for i in (0, 1))
    held = loss < TOLERANCE["loss"] and gradient < TOLERANCE["gradient"]
    return Answer(held, f"loss off by {loss:.5f}, gradient by {gradient:.4f}")


def ddp() -> Answer:
    """Losses of a few steps under DDP, the same on all ranks."""
    import torch.distributed as dist

    rank, world = _join()
    net = torch.nn.parallel.DistributedDataParallel(_net().cuda())
    losses = _steps(net, torch.optim.AdamW(net.parameters(), 1e-3), shift=rank)
    told: list[Any] = [None] * world
    dist.all_gather_object(told, [float(p.detach().sum()) for p in net.parameters()])
    return Answer(all(row == told[0] for row in told), f"losses {_short(losses)}")


def zero2() -> Answer:
    """ZeRO-2 against plain AdamW on rank-averaged gradients."""
    return _zero(2)


def zero3() -> Answer:
    """ZeRO-3 against plain AdamW on rank-averaged gradients."""
    return _zero(3)


def resume() -> Answer:
    """Three steps against one, a save, a load and two."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    net = _net().cuda()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, fused=True)
    straight = _steps(net, optimizer)
    net = _net().cuda()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, fused=True)
    first = _steps(net, optimizer, until=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.pt"
        torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, path)
        state = torch.load(path, weights_only=True)
    again = _net(seed=9).cuda()
    again.load_state_dict(state["net"])
    optimizer = torch.optim.AdamW(again.parameters(), 1e-3, fused=True)
    optimizer.load_state_dict(state["optimizer"])
    resumed = first + _steps(again, optimizer, since=1)
    return Answer(resumed == straight, f"{_short(straight)} and {_short(resumed)}")


def mfu() -> Answer:
    """FLOPs of a bf16 step by torch's count, over its time, over the published peak."""
    from torch.utils.flop_counter import FlopCounterMode

    net = _net(hidden=2048, layers=8).cuda().to(torch.bfloat16)
    torch.cuda.reset_peak_memory_stats()
    with FlopCounterMode(display=False) as counter:
        _loss(net, 0, rows=4).backward()
    began = _now()
    for step in range(5):
        _loss(net, step, rows=4).backward()
    rate = counter.get_total_flops() / ((_now() - began) / 5)
    peak = published(torch.cuda.get_device_name(), torch.bfloat16)
    share = "no published peak is known" if peak is None else f"{rate / peak.flops_per_s:.0%}"
    memory = torch.cuda.max_memory_allocated() / 2**30
    return Answer(True, f"{rate / 1e12:.0f} TFLOP/s, share of the peak: {share}; {memory:.1f} GB")


CHECKS: dict[str, Callable[[], Answer]] = {
    check.__name__: check for check in (nccl, flash, bf16, ddp, zero2, zero3, resume, mfu)
}


def _zero(stage: int) -> Answer:
    import deepspeed

    rank, world = _join()
    plain = torch.nn.parallel.DistributedDataParallel(_net().cuda())
    expected = _steps(plain, torch.optim.AdamW(plain.parameters(), 1e-3), shift=rank)
    net = _net()
    settings = {
        "train_micro_batch_size_per_gpu": 1,
        "train_batch_size": world,
        "zero_optimization": {"stage": stage, "stage3_param_persistence_threshold": 0},
        "zero_allow_untested_optimizer": True,
    }
    engine, *_ = deepspeed.initialize(
        model=net, optimizer=torch.optim.AdamW(net.parameters(), 1e-3), config=settings
    )
    losses = []
    for step in range(STEPS):
        loss = _loss(engine, step + 100 * rank)
        engine.backward(loss)
        engine.step()
        losses.append(float(loss.detach()))
    worst = max(abs(a - b) / abs(b) for a, b in zip(losses, expected, strict=True))
    return Answer(worst < TOLERANCE["zero"], f"losses {_short(losses)}, off by {worst:.1e}")


def _net(seed: int = 0, hidden: int = 512, layers: int = 4) -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape = LlamaConfig(
        vocab_size=8192,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
    )
    return LlamaForCausalLM(shape)


def _loss(net: Any, seed: int, *, rows: int = 2, length: int = 1024) -> torch.Tensor:
    ids = torch.randint(0, 8192, (rows, length), generator=torch.Generator().manual_seed(seed))
    ids = ids.cuda()
    logits = net(input_ids=ids, use_cache=False).logits
    return cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())


def _steps(
    net: Any,
    optimizer: torch.optim.Optimizer,
    *,
    shift: int = 0,
    since: int = 0,
    until: int = STEPS,
) -> list[float]:
    losses = []
    for step in range(since, until):
        loss = _loss(net, step + 100 * shift)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
    return losses


def _join() -> tuple[int, int]:
    import torch.distributed as dist

    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl")
    return dist.get_rank(), dist.get_world_size()


def _now() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def _error(got: Any, expected: Any) -> float:
    got, expected = got.detach().float(), expected.detach().float()
    return float((got - expected).norm() / expected.norm())


def _short(losses: list[float]) -> str:
    return " ".join(f"{loss:.4f}" for loss in losses)


if __name__ == "__main__":
    answer = CHECKS[sys.argv[1]]()
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(answer._asdict()), flush=True)
