"""What each of two processes holds of a model that is split over them, and what saving adds.

    python benchmarks/sharding.py [--layers N] [--hidden N] [--strategies …] [--trains lora full]

A random Llama in float32 (by default 1.0 GB, of which embeddings and head are 2 %) is written to a
folder. Two gloo processes build it from there, train two steps of one short row (activations are
computed again in the backward pass) and save a checkpoint to resume from. Printed are the peaks of
memory that a process has for itself (RssAnon + RssShmem of /proc/self/status, sampled every 2 ms)
above what it has with all libraries imported and the process group made, as shares of the whole: of
the weights with `lora`, which trains little; of weights, gradients and both moments (16 bytes a
weight) with `full`. Pages of mapped files are not in it: the kernel takes them back. ZeRO-3 is set
to hold little: no small weights whole, a layer's at most, and a tenth of that gathered ahead.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from affect_mllm.tools.trial import TRAINABLE, Trial
from affect_mllm.tools.trial_models import Size
from affect_mllm.train.keep.progress import Progress
from affect_mllm.train.keep.stage_checkpoints import StageCheckpoints
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.layout.zero import ZeroSettings
from affect_mllm.train.plan.speed import Speed
from affect_mllm.train.plan.trainable import Group, select

RANKS, INTERVAL_S = 2, 0.002
FULL = {
    "llm": Group(r"llm\.net\.(?!.*lora_).*", 1e-5),
    "compressors": Group(r"compressors\..*", 1e-3),
}
TRAINS = {"lora": TRAINABLE, "full": FULL}
AGAIN = Speed(gradient_checkpointing=["llm"], liger="never")
SMALL_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "8192", "MALLOC_TRIM_THRESHOLD_": "8192"}
BYTES = {"lora": 4, "full": 16}  # a weight


def main() -> None:
    """Run every pair and print one line each; or be one of the two processes."""
    options = _arguments()
    size = Size(options.hidden, options.layers, vocab=4096, rows=1, length=16)
    if options.rank_of:
        _rank(size, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        Trial(Path(folder), size)
        print("strategy  trains  whole GB  peak of it  saving adds")
        for strategy in options.strategies:
            for what in options.trains:
                found = measured(Path(folder), size, strategy, what)
                print(
                    f"{strategy:9} {what:6} {found['whole'] / 1e9:9.2f} "
                    f"{found['peak']:11.2f} {found['saving']:12.2f}",
                    flush=True,
                )


def measured(folder: Path, size: Size, strategy: str, what: str) -> dict[str, float]:
    """Bytes of the whole, and of it the largest share of a rank: its peak, and what saving adds."""
    out = folder / f"{strategy}-{what}"
    out.mkdir()
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(RANKS)]
    command = [sys.executable, *launcher, __file__, "--rank-of", str(folder), "--out", str(out)]
    command += ["--hidden", str(size.hidden), "--layers", str(size.layers)]
    # What is freed goes back to the kernel at once: what is held counts, not what malloc keeps.
    env = {**os.environ, **SMALL_MALLOC, "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [*command, "--strategies", strategy, "--trains", what],
        env=env,
        text=True,
        capture_output=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    ranks = [json.loads(path.read_text()) for path in out.glob("rank-*.json")]
    whole = ranks[0]["weights"] * BYTES[what]
    shares = {key: max(rank[key] for rank in ranks) / whole for key in ("peak", "saving")}
    return {"whole": whole, **shares}


class Watch(threading.Thread):
    """The most that this process had for itself since `begin`, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self.start()

    def begin(self) -> int:
        """Start anew; what it has now."""
        self.most = _own()
        return self.most

    def run(self) -> None:
        """Look every few milliseconds."""
        pause = threading.Event()
        while not pause.wait(INTERVAL_S):
            self.most = max(self.most, _own())


def _own() -> int:
    rows = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return sum(int(row[1]) * 1024 for row in rows if row[0] in ("RssAnon:", "RssShmem:"))


def _rank(size: Size, options: argparse.Namespace) -> None:
    strategy: Any = options.strategies[0]
    trial = Trial(Path(options.rank_of), size, trainable=TRAINS[options.trains[0]], speed=AGAIN)
    live = 13 * size.hidden**2
    zero = ZeroSettings(
        reduce_bucket_size=live // 10,
        stage3_prefetch_bucket_size=live // 10,
        stage3_max_live_parameters=live,
    )
    launch = Launch(strategy=strategy, precision="fp32", zero=zero, persistence_threshold=0)
    accelerator = launch.accelerator(max_norms=[trial.stage.max_grad_norm])
    _import_all()
    watch = Watch()
    before = watch.begin()
    trainer = trial.trainer(launch, accelerator=accelerator)
    for step in (1, 2):
        trial.step(trainer, step)
    peak = watch.most - before
    held = watch.begin()
    _save(trainer.engine, trial, Path(options.out))
    weights = sum(shape.numel() for shape in _shapes(trainer.engine.module))
    found = {"peak": peak, "saving": watch.most - held, "weights": weights}
    rank = trainer.engine.rank
    (Path(options.out) / f"rank-{rank}.json").write_text(json.dumps(found))
    trainer.engine.close()


def _save(engine: Any, trial: Trial, out: Path) -> None:
    groups = select(engine.module, trial.stage.trainable)
    trained = {id(parameter) for group in groups.values() for parameter in group}
    names = [n for n, p in engine.module.named_parameters() if id(p) in trained]
    base = sorted(name for name in names if name.startswith("llm.") and "lora_" not in name)
    meta = {"trained": base, "lineage": [{}], "fingerprint": "", "experts": [], "stage": "trial"}
    checkpoints = StageCheckpoints(out / "stage", OmegaConf.create({}), meta)
    checkpoints.save_step(engine, [], 2, progress=Progress())


def _shapes(module: Any) -> list[Any]:
    return [getattr(parameter, "ds_shape", parameter.shape) for parameter in module.parameters()]


def _import_all() -> None:
    import peft  # noqa: F401
    import torch._dynamo
    import torch.distributed.fsdp  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401


def _arguments() -> argparse.Namespace:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--hidden", type=int, default=640)
    parser.add_argument("--layers", type=int, default=47)
    parser.add_argument("--strategies", nargs="+", default=["fsdp2", "zero3"])
    parser.add_argument("--trains", nargs="+", choices=list(TRAINS), default=["lora"])
    parser.add_argument("--rank-of", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
