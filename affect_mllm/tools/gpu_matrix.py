"""The configurations that people train with, as rows of `gpu-check`: each names its parts."""

from __future__ import annotations

from typing import NamedTuple

STRATEGIES = {
    "single": "one process",
    "ddp": "DDP",
    "zero2": "ZeRO-2",
    "zero3": "ZeRO-3",
    "fsdp2": "FSDP2",
}
TRAINS = {
    "lora": "LoRA and connectors on a bf16 base",
    "nf4": "LoRA and connectors on an NF4 base (QLoRA)",
    "int8": "LoRA and connectors on an int8 base",
    "full": "a whole bf16 LLM",
    "both": "connectors and a whole bf16 LLM",
    "tower": "a vision tower, connectors and LoRA on a bf16 base",
}
MODELS = {
    "llama": "of a Llama with an encoder",
    "qwen2_5_vl": "of a Qwen2.5-VL",
    "qwen3_vl": "of a Qwen3-VL",
    "qwen2_5_omni": "of a Qwen2.5-Omni that sees and hears",
    "qwen3_omni_moe": "of a Qwen3-Omni that sees and hears, with experts of its own,",
}
SPEEDS = {
    "plain": "",
    "checkpointed": "with activations computed again",
    "compiled": "with compiled layers",
    "liger": "with Liger's kernels",
}
THEN = {
    "steps": "",
    "resume": "and a resumed run equals the uninterrupted one bit for bit",
    "ask": "and answers between steps are the same on all ranks and leave training as it is",
}


class Row(NamedTuple):
    """One configuration: a key of each of the tables above."""

    strategy: str
    trains: str
    model: str = "llama"
    speed: str = "plain"
    then: str = "steps"

    @property
    def name(self) -> str:
        """By which `--only` knows it: its parts, without those that say nothing."""
        return "-".join(part for part in self if part not in ("llama", "plain", "steps"))

    @property
    def processes(self) -> int:
        """How many it wants at least."""
        return 1 if self.strategy == "single" else 2

    @property
    def what(self) -> str:
        """What it proves, in words."""
        words = (TRAINS[self.trains], MODELS[self.model], SPEEDS[self.speed])
        said = " ".join(word for word in words if word)
        proves = f"{STRATEGIES[self.strategy]}: {said} train as in a plain loop"
        return ", ".join(word for word in (proves, THEN[self.then]) if word)


EXACT = ("ddp", "zero2", "zero3", "fsdp2")  # besides, in float32, where a gradient is exact
# Every pair of two of the parts that can be together is in a row that trains (of omni models: LoRA
# and connectors, plain or checkpointed); what is refused by design has a row that says so. Few
# rows: `tests/tools/test_gpu_matrix.py` holds them against both.
ROWS = (
    Row("single", "lora"),
    Row("single", "nf4", speed="checkpointed"),
    Row("single", "int8", then="resume"),
    Row("single", "full", "qwen2_5_vl", "checkpointed", "resume"),
    Row("single", "both", "qwen3_vl", "compiled", "ask"),
    Row("single", "tower", speed="liger", then="resume"),
    Row("ddp", "lora", "qwen2_5_vl", "liger", "ask"),
    Row("ddp", "nf4", speed="compiled", then="resume"),
    Row("ddp", "int8", speed="liger"),
    Row("ddp", "full", then="ask"),
    Row("ddp", "both"),
    Row("ddp", "tower", "qwen3_vl", "checkpointed"),
    Row("zero2", "lora", "qwen3_vl", then="resume"),
    Row("zero2", "nf4", speed="liger", then="ask"),
    Row("zero2", "int8", speed="checkpointed", then="ask"),
    Row("zero2", "full", "qwen2_5_vl", "compiled"),
    Row("zero2", "both"),
    Row("zero2", "tower", speed="compiled"),
    Row("zero3", "lora", "qwen3_vl", "checkpointed", "resume"),
    Row("zero3", "nf4"),
    Row("zero3", "int8", speed="compiled"),
    Row("zero3", "full"),
    Row("zero3", "both", speed="liger"),
    Row("zero3", "tower", "qwen2_5_vl", then="ask"),
    Row("fsdp2", "lora", speed="compiled", then="ask"),
    Row("fsdp2", "nf4"),
    Row("fsdp2", "int8"),
    Row("fsdp2", "full", "qwen3_vl", "liger", "resume"),
    Row("fsdp2", "both", "qwen2_5_vl", "checkpointed", "resume"),
    Row("fsdp2", "tower"),
    # Omni models: as their experiments train them.
    Row("single", "lora", "qwen2_5_omni", then="ask"),
    Row("ddp", "lora", "qwen2_5_omni", "checkpointed", "resume"),
    Row("zero2", "lora", "qwen2_5_omni", "checkpointed"),
    Row("zero3", "lora", "qwen2_5_omni", then="ask"),
    Row("fsdp2", "lora", "qwen2_5_omni", "checkpointed", "resume"),
    Row("single", "lora", "qwen3_omni_moe", "checkpointed", "resume"),
    Row("ddp", "lora", "qwen3_omni_moe"),
    Row("zero2", "lora", "qwen3_omni_moe"),
    Row("zero3", "lora", "qwen3_omni_moe", "checkpointed", "resume"),
    Row("fsdp2", "lora", "qwen3_omni_moe", then="ask"),
)
OMNI = ("qwen2_5_omni", "qwen3_omni_moe")
