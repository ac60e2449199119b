"""Peak memory and time of the token loss against transformers' default loss, forward and backward.

`python benchmarks/loss_memory.py [--positions 4096] [--vocabulary 152064] [--hidden 896]`

Each measurement is a process of its own: the peak of its resident memory above what it had before
the loss. Both get the same hidden states, head and labels, in float32, and the gradient of the
hidden states is taken. Prints one line for each share of supervised positions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measured import Row, report

SHARES = (0.1, 1.0)
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def ours(states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over supervised tokens, in chunks."""
    from affect_mllm.train.loss.token import TokenLoss, chunked_loss_sum, supervised

    positions, targets = supervised(labels)
    chunk = TokenLoss().chunk
    return chunked_loss_sum(states[positions], weight, None, targets, chunk=chunk) / len(targets)


def theirs(states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What a causal LM of transformers does when it is given labels."""
    from transformers.loss.loss_utils import ForCausalLMLoss

    logits = torch.nn.functional.linear(states, weight)
    return ForCausalLMLoss(logits, labels, vocab_size=len(weight))


LOSSES: dict[str, Loss] = {"ours": ours, "transformers": theirs}


def measure(name: str, share: float, sizes: tuple[int, int, int]) -> None:
    """Print value, gradient norm, peak and seconds as JSON."""
    positions, vocabulary, hidden = sizes
    torch.manual_seed(0)
    weight = torch.randn(vocabulary, hidden) / hidden**0.5
    states = torch.randn(1, positions, hidden, requires_grad=True)
    labels = torch.randint(0, vocabulary, (1, positions))
    labels[torch.rand(1, positions) > share] = -100
    loss = LOSSES[name]
    loss(states[:, :8], weight[:64], labels[:, :8].clamp_max(63)).backward()  # imports, threads
    states.grad = None
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _memory_mb("VmRSS")
    began = time.perf_counter()
    value = loss(states, weight, labels)
    value.backward()
    spent = time.perf_counter() - began
    assert states.grad is not None
    found = {"value": float(value), "gradient": float(states.grad.norm())}
    print(json.dumps({**found, "peak_mb": _memory_mb("VmHWM") - before, "seconds": spent}))


def _memory_mb(key: str) -> float:
    """Resident memory now (`VmRSS`) or at most (`VmHWM`), from Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def main() -> None:
    """Both losses at each share, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--positions", type=int, default=4096)
    parser.add_argument("--vocabulary", type=int, default=152_064)
    parser.add_argument("--hidden", type=int, default=896)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("LOSS", "SHARE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = (given.positions, given.vocabulary, given.hidden)
    if given.measure:
        measure(given.measure[0], float(given.measure[1]), sizes)
        return
    rows = []
    for share in SHARES:
        rounds = [{name: _apart(name, share) for name in LOSSES} for _ in range(given.rounds)]
        _show(share, rounds[0]["ours"], rounds[0]["transformers"])
        for key, title in (("peak_mb", "peak memory"), ("seconds", "time")):
            ratios = [each["ours"][key] / each["transformers"][key] for each in rounds]
            what = (
                f"{title} of the token loss, {share:.0%} of {given.positions} positions supervised"
            )
            rows.append(Row.of(what, "transformers' loss", ratios, "lower"))
    report(rows)


def _show(share: float, mine: dict[str, float], base: dict[str, float]) -> None:
    print(
        f"{share:4.0%} supervised: peak {mine['peak_mb']:6.0f} MB of {base['peak_mb']:6.0f} MB "
        f"({mine['peak_mb'] / base['peak_mb']:.1%}), time {mine['seconds']:.1f} s of "
        f"{base['seconds']:.1f} s, value differs by {_apart_by(mine, base, 'value'):.1e}, "
        f"gradient norm by {_apart_by(mine, base, 'gradient'):.1e}",
        flush=True,
    )


def _apart(name: str, share: float) -> dict[str, float]:
    command = [sys.executable, *sys.argv, "--measure", name, str(share)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _apart_by(one: dict[str, float], two: dict[str, float], key: str) -> float:
    return abs(one[key] - two[key]) / abs(two[key])


if __name__ == "__main__":
    main()
