"""Training speed and memory against transformers' Trainer and TRL, on this machine, in one run.

    python benchmarks/train_speed.py [--quick] [--only NAME …]

Every contender tunes the same LLM (SmolLM2-135M-Instruct in bf16, LoRA r=16 on all linear layers)
on the same mixed-length chats in a process of its own; the first steps are not counted. The table
gives supervised and real tokens/s, peak memory of the process, and the share of the bf16
matrix-product peak that was measured between the runs. Needs `pip install -e '.[bench]'` and the
default weights (`affect-mllm assets`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from train_chats import QUESTION, SYSTEM, Chat, chats, write_manifest

LLM = "asset:smollm2-135m-instruct"
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BATCH = 8  # chats a step and rank
ROW_TOKENS = 512  # of TRL's packed rows; so many rows a step that they hold about BATCH chats
ROWS = 5
LR = 2e-4
TRAINER, TRL, OURS = "Trainer, padding", "TRL, packing", "affect_mllm"
ONE_RANK, TWO_RANKS = "affect_mllm, 1 rank × 1 thread", "affect_mllm, 2 ranks × 1 thread"


def main() -> None:
    """Run the contenders one after another and print the table."""
    options = _arguments()
    if options.contender:
        _report(options.contender, options)
        return
    threads = len(os.sched_getaffinity(0))
    names = [TRAINER, TRL, OURS, *([ONE_RANK, TWO_RANKS] if threads > 1 else [])]
    names = [name for name in names if not options.only or name in options.only]
    found, peaks = {}, [bf16_peak(threads)]
    with tempfile.TemporaryDirectory() as folder:
        steps = options.warm_up + options.steps
        manifest = write_manifest(Path(folder), 2 * BATCH * (steps + 1))
        for name in names:
            print(f"running {name} …", file=sys.stderr, flush=True)
            found[name] = _run(name, options, manifest, threads)
            peaks.append(bf16_peak(threads))
    _print_table(found, max(peaks), threads)


def _arguments() -> argparse.Namespace:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--quick", action="store_true", help="2 counted steps instead of 6")
    parser.add_argument("--only", nargs="*", default=[], help="some of the contenders")
    parser.add_argument("--steps", type=int, default=None, help="counted steps of each")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--manifest", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.warm_up = 1 if options.quick else 2
    options.steps = options.steps or (2 if options.quick else 6)
    return options


def bf16_peak(threads: int) -> float:
    """FLOP/s of a 2048³ bf16 matrix product on `threads` threads, the best of many."""
    code = (
        "import torch, time\n"
        f"torch.set_num_threads({threads})\n"
        "a = torch.randn(2048, 2048, dtype=torch.bfloat16)\n"
        "best = 9e9\n"
        "for _ in range(20):\n"
        "    began = time.perf_counter(); a @ a; best = min(best, time.perf_counter() - began)\n"
        "print(2 * 2048**3 / best)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _run(name: str, options: argparse.Namespace, manifest: Path, threads: int) -> dict[str, float]:
    """One contender's numbers; what it says goes to a log that is shown when it fails."""
    ranks = 2 if name == TWO_RANKS else 1
    each = 1 if name in (ONE_RANK, TWO_RANKS) else threads
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [sys.executable, *(start if ranks > 1 else []), __file__, "--contender", name]
    command += ["--manifest", str(manifest), "--steps", str(options.steps)]
    command += ["--quick"] if options.quick else []
    env = {
        **os.environ,
        "OMP_NUM_THREADS": str(each),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "ACCELERATE_USE_CPU": "true",
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"supervised')]
    if done.returncode or not lines:
        sys.exit(
            f"{name} failed ({done.returncode}):\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        )
    return json.loads(lines[-1])


def _report(name: str, options: argparse.Namespace) -> None:
    """In the contender's process: train, then print its numbers as one line of JSON."""
    contenders: dict[str, Callable[[argparse.Namespace], dict[str, float]]] = {
        TRAINER: hf_trainer,
        TRL: trl,
    }
    found = contenders.get(name, ours)(options)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps({**found, "peak_gb": peak_gb}), flush=True)


class Counter:
    """A collator that counts tokens, and a clock of steps; batch i is what step i trains on."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate
        self.tokens: list[tuple[int, int]] = []
        self.ends: list[float] = []

    def __call__(self, rows: list[Any]) -> Any:
        batch = self.collate(rows)
        supervised = int((batch["labels"] != -100).sum())
        mask = batch.get("attention_mask")
        real = int(mask.sum()) if mask is not None else batch["input_ids"].numel()
        self.tokens.append((supervised, real))
        return batch

    def rates(self, warm_up: int) -> dict[str, float]:
        """Tokens of the counted steps over their seconds."""
        seconds = self.ends[-1] - self.ends[warm_up - 1]
        counted = self.tokens[warm_up : len(self.ends)]
        supervised, real = (sum(column) for column in zip(*counted, strict=True))
        return {"supervised": supervised / seconds, "real": real / seconds}


def hf_trainer(options: argparse.Namespace) -> dict[str, float]:
    """transformers' Trainer: batches padded to their longest chat, its default loss."""
    from datasets import Dataset
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    model, tokenizer, rows = _lora_model(options.manifest)
    counter = Counter(DataCollatorForSeq2Seq(tokenizer))
    arguments = TrainingArguments(
        per_device_train_batch_size=BATCH, remove_unused_columns=False, **_common(options)
    )
    trainer = Trainer(
        model,
        arguments,
        data_collator=counter,
        train_dataset=Dataset.from_list([chat._asdict() for chat in rows]),
    )
    return _timed(trainer, counter, options)


def trl(options: argparse.Namespace) -> dict[str, float]:
    """TRL's SFTTrainer: chats packed into rows, its default loss and packing."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, tokenizer, rows = _lora_model(options.manifest)
    table = [
        {
            "input_ids": chat.input_ids,
            "completion_mask": [int(label != -100) for label in chat.labels],
        }
        for chat in rows
    ]
    arguments = SFTConfig(
        per_device_train_batch_size=ROWS,
        packing=True,
        max_length=ROW_TOKENS,
        completion_only_loss=True,
        **_common(options),
    )
    trainer = SFTTrainer(
        model, arguments, train_dataset=Dataset.from_list(table), processing_class=tokenizer
    )
    counter = trainer.data_collator = Counter(trainer.data_collator)
    return _timed(trainer, counter, options)


def ours(options: argparse.Namespace) -> dict[str, float]:
    """This project's own `train`, from configuration to checkpoint, on the manifest."""
    from omegaconf import OmegaConf

    from affect_mllm import config, log

    log.setup()
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    steps = options.warm_up + options.steps
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        if ranks > 1:  # one folder for all ranks
            run_dir = options.manifest.parent / "two-ranks"
        cfg = config.compose(
            "train",
            [
                "experiment=demo",
                f"launch={'ddp' if ranks > 1 else 'single'}",
                f"run_dir={run_dir}",
                f"data.manifest={options.manifest}",
                "data.cache_dir=null",
                "data.max_tokens=2048",
                f"data.prompt.system={SYSTEM}",
                "launch.micro_batches=1",
                "model.fusion=null",
                "model.llm.lora.r=16",
            ],
        )
        for key in ("encoders", "branches", "compressors"):
            OmegaConf.update(cfg, f"model.{key}", {}, merge=False)
        stage = cfg.stages.instruct
        changes = {
            "trainable": {r"llm\..*lora_.*": LR},
            "steps": steps,
            "batch_size": BATCH * ranks,
            "save_every": 10**6,
        }
        for key, value in changes.items():
            OmegaConf.update(stage, key, value, merge=False)
        stage.sources[0].instructions = {"describe": 1}
        cfg.data.instructions = {
            "describe": {**cfg.data.instructions.describe, "questions": [QUESTION]}
        }
        cfg.stages = {"instruct": stage}
        config.build(config.checked(cfg)).run()
        rows = [
            json.loads(line)
            for line in (run_dir / "instruct/metrics.jsonl").read_text().splitlines()
        ]
    counted = rows[options.warm_up :]
    seconds = counted[-1]["seconds"] - rows[options.warm_up - 1]["seconds"]
    supervised, real, flops = (
        sum(row[key] for row in counted) for key in ("supervised_tokens", "tokens", "flops")
    )
    return {
        "supervised": supervised / seconds,
        "real": real / seconds,
        "flops": flops / seconds,
    }


def _lora_model(manifest: Path) -> tuple[Any, Any, list[Chat]]:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from affect_mllm.config import weights_path

    path = weights_path(LLM)
    tokenizer = AutoTokenizer.from_pretrained(path)
    net = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS, task_type="CAUSAL_LM")
    return get_peft_model(net, lora), tokenizer, chats(manifest, tokenizer)


def _common(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(),
        "max_steps": options.warm_up + options.steps,
        "bf16": True,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "learning_rate": LR,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
    }


def _timed(trainer: Any, counter: Counter, options: argparse.Namespace) -> dict[str, float]:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def on_step_end(self, *_args: Any, **_options: Any) -> None:
            counter.ends.append(time.perf_counter())

    trainer.add_callback(Clock())
    trainer.train()
    return counter.rates(options.warm_up)


def _print_table(found: dict[str, dict[str, float]], peak: float, threads: int) -> None:
    print(
        f"\nSmolLM2-135M, LoRA r=16, bf16, {threads} threads; bf16 peak {peak / 1e12:.2f} TFLOP/s"
    )
    print(f"{'':34}{'supervised':>11}{'real':>9}{'peak':>8}{'share of':>10}")
    print(f"{'':34}{'tokens/s':>11}{'tokens/s':>9}{'GB':>8}{'peak':>10}")
    for name, row in found.items():
        per_token = found[OURS]["flops"] / found[OURS]["real"] if OURS in found else float("nan")
        own_peak = peak / threads if name == ONE_RANK else peak
        share = row.get("flops", per_token * row["real"]) / own_peak
        print(
            f"{name:34}{row['supervised']:11.1f}{row['real']:9.1f}{row['peak_gb']:8.2f}{share:10.1%}"
        )
    _ratios(found, peak)


def _ratios(found: dict[str, dict[str, float]], peak: float) -> None:
    def ratio(name: str, one: str, two: str, key: str, target: str) -> None:
        if one in found and two in found:
            print(f"{name:54}{found[one][key] / found[two][key]:7.2f}   wanted: {target}")

    print()
    ratio("supervised tokens/s, ours ÷ Trainer", OURS, TRAINER, "supervised", "at least 4")
    ratio("supervised tokens/s, ours ÷ TRL", OURS, TRL, "supervised", "at least 2.5")
    ratio("peak memory, ours ÷ Trainer", OURS, TRAINER, "peak_gb", "at most 0.4")
    ratio("two ranks of one thread ÷ one", TWO_RANKS, ONE_RANK, "supervised", "at least 1.9")
    if OURS in found:
        share = found[OURS]["flops"] / peak
        print(f"{'share of the bf16 peak':54}{share:7.2f}   wanted: at least 0.25")


if __name__ == "__main__":
    main()
