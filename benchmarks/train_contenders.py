"""The contenders of `train_speed.py`: each trains the same LLM on the same chats and is timed.

Every one returns supervised and real tokens a second of the steps after the warm-up.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from train_chats import QUESTION, SYSTEM, Chat, chats

LLM = "asset:smollm2-135m-instruct"
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BATCH = 8  # chats a step and rank
ROW_TOKENS = 512  # of TRL's packed rows; so many rows a step that they hold about BATCH chats
ROWS = 5
SPARE = 3  # steps that may compile after the warm-up; what is counted comes after the last of them
LR = 2e-4


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

    model, tokenizer, rows = _lora_model(options)
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

    model, tokenizer, rows = _lora_model(options)
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


def ours(options: argparse.Namespace, *, batch: int = BATCH) -> dict[str, float]:
    """This project's own `train`, from configuration to checkpoint, on the manifest.

    `batch` chats a step over all ranks, in micro-batches of BATCH / 2 chats, whatever the ranks.
    The steps that are counted come after the last one in which any rank compiled.
    """
    from omegaconf import OmegaConf

    from affect_mllm import config, log

    log.setup()
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    steps = options.warm_up + SPARE + options.steps
    metrics = options.run_dir / "instruct/metrics.jsonl"
    note_compiling(metrics, options.run_dir / f"compiled.{os.environ.get('RANK', '0')}")
    cfg = config.compose(
        "train",
        [
            "experiment=demo",
            f"launch={'ddp' if ranks > 1 else 'single'}",
            f"run_dir={options.run_dir}",
            f"data.manifest={options.manifest}",
            "data.cache_dir=null",
            "data.max_tokens=2048",
            f"data.prompt.system={SYSTEM}",
            f"launch.micro_batches={2 * batch // (BATCH * ranks)}",
            f"launch.precision={'bf16' if options.dtype == 'bfloat16' else 'fp32'}",
            f"model.llm.dtype={options.dtype}",
            "launch.workers=0",  # as the others: one rank of one thread is one core
            "speed.compile=true",
            "model.fusion=null",
            "model.llm.lora.r=16",
        ],
    )
    for key in ("encoders", "branches", "compressors"):
        OmegaConf.update(cfg, f"model.{key}", {}, merge=False)
    stage = cfg.stages.instruct
    changes = {
        "trainable": {"lora": {"match": r"llm\..*lora_.*", "lr": LR}},
        "steps": steps,
        "batch_size": batch,
        "save_every": 10**6,
    }
    for key, value in changes.items():
        OmegaConf.update(stage, key, value, merge=False)
    stage.sources.data.instructions = {"describe": 1}
    cfg.data.instructions = {
        "describe": {**cfg.data.instructions.describe, "questions": [QUESTION]}
    }
    cfg.stages = {"instruct": stage}
    config.build(config.checked(cfg)).run()
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    first = max(options.warm_up, compiled_until(options.run_dir, ranks))
    counted = rows[first : first + options.steps]
    if len(counted) < options.steps:
        sys.exit(f"step {first} of {len(rows)} compiled: {options.steps} are left to count")
    seconds = counted[-1]["seconds"] - rows[first - 1]["seconds"]
    supervised, real, flops = (
        sum(row[key] for row in counted) for key in ("supervised_tokens", "tokens", "flops")
    )
    own = {"real": real / seconds, "flops": flops / seconds}  # of this rank alone
    return {"supervised": supervised / seconds, **(own if ranks == 1 else {})}


def note_compiling(metrics: Path, told: Path) -> None:
    """From now on `told` says how many steps stood in `metrics` when torch last compiled here."""
    from torch._dynamo.callback import on_compile_end

    @on_compile_end
    def _note(_: Any) -> None:
        done = len(metrics.read_text().splitlines()) if metrics.is_file() else 0
        told.parent.mkdir(parents=True, exist_ok=True)
        told.write_text(f"{done}")


def compiled_until(run_dir: Path, ranks: int) -> int:
    """The last step that compiled, 0 for none. One rank writes `metrics`, and others may be a step
    ahead of what they find there.
    """
    done = [int(path.read_text()) for path in run_dir.glob("compiled.*")]
    return max(done) + (1 if ranks == 1 else 2) if done else 0


def _lora_model(options: argparse.Namespace) -> tuple[Any, Any, list[Chat]]:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from affect_mllm.config import weights_path

    path = weights_path(LLM)
    tokenizer = AutoTokenizer.from_pretrained(path)
    net = AutoModelForCausalLM.from_pretrained(path, dtype=options.dtype)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS, task_type="CAUSAL_LM")
    return get_peft_model(net, lora), tokenizer, chats(options.manifest, tokenizer)


def _common(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(),
        "max_steps": options.warm_up + options.steps,
        "bf16": options.dtype == "bfloat16",
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
