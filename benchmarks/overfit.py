"""Eight clips learnt by heart: the whole way from files to gradients works, or this cannot.

    python benchmarks/overfit.py [--steps 200]

Trains the demo's model (SmolLM2-135M, EfficientNet-Lite0, Whisper-base; LoRA and all connectors)
on the descriptions of eight clips of the synthetic corpus, the same eight in every step, then asks
which share of the supervised tokens is the likeliest one. Exit code 1 below 99 %. Needs the
default weights and the corpus (`make demo` makes both).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from affect_mllm import config, log
from affect_mllm.data import manifest
from affect_mllm.data.collate import collate
from affect_mllm.models import checkpoint
from affect_mllm.train.loss.token import supervised
from affect_mllm.types import Batch, ExitCode

WANTED = 0.99
CLIPS = 8
TRAINABLE = {
    "lora": {"match": r"llm\..*lora_.*", "lr": 2e-3},
    "fusion": {"match": r"fusion\..*", "lr": 2e-3},
    "compressors": {"match": r"compressors\..*", "lr": 2e-3},
}


def main() -> None:
    """Train, measure, print."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--corpus", type=Path, default=Path("outputs/demo/corpus"))
    options = parser.parse_args()
    log.setup()
    with tempfile.TemporaryDirectory() as folder:
        rows = few(options.corpus / "manifest.jsonl", Path(folder))
        given = [f"data.manifest={rows}", f"data.cache_dir={folder}/features"]
        cfg = by_heart([f"run_dir={folder}/run", *given], TRAINABLE, steps=options.steps)
        accuracy = learnt(cfg)
    print(f"supervised-token accuracy after {options.steps} steps: {accuracy:.4f} (≥ {WANTED})")
    sys.exit(accuracy < WANTED)


def few(path: Path, folder: Path) -> Path:
    """A manifest of the first clips of `path` with all they need beside it."""
    samples = list(manifest.read(path, split="train"))[:CLIPS]
    for sample in samples:
        for name in sample.media.values():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(sample.root / name, target)
    manifest.write(samples, folder / "manifest.jsonl")
    return folder / "manifest.jsonl"


def by_heart(overrides: Sequence[str], trainable: dict[str, Any], *, steps: int) -> DictConfig:
    """The demo's last stage alone, on descriptions only, with every clip in every step."""
    given = ["experiment=demo", "~stages.align", "~stages.emotion", *overrides]
    cfg = config.compose("train", given)
    stage = cfg.stages.instruct
    changes: dict[str, Any] = {
        "trainable": trainable,
        "steps": steps,
        "batch_size": CLIPS,
        "save_every": steps + 1,
        "modality_dropout": 0.0,
    }
    for key, value in changes.items():
        OmegaConf.update(stage, key, value, merge=False)
    stage.sources.data.instructions = {"describe": 1}
    cfg.data.instructions.describe.questions = cfg.data.instructions.describe.questions[:1]
    return config.checked(cfg)


def learnt(cfg: DictConfig) -> float:
    """Run the training and return the share of supervised tokens that the result predicts."""
    if config.build(cfg).run() != ExitCode.DONE:
        sys.exit("the training was stopped")
    model = checkpoint.load_model(Path(cfg.run_dir) / "instruct" / "final")
    data = config.build(cfg.data)
    maker = data.maker(model.llm.tokenizer, model.span_lengths())
    features = data.features(model.transforms(), model.fingerprint)
    instruction = data.instructions["describe"]
    examples = [
        maker.make(
            sample,
            features.clip(sample).arrays,
            question=instruction.questions[0],
            answer=instruction.answer_for(sample),
            encoded=features.encoded,
        )
        for sample in manifest.read(Path(cfg.data.manifest))
        if sample.split == "train"
    ]
    return accuracy(model, collate(examples, pad_id=0))


@torch.no_grad()
def accuracy(model: Any, batch: Batch) -> float:
    """The share of supervised tokens that are the likeliest ones."""
    places, targets = supervised(batch.labels)
    with torch.autocast("cpu", torch.bfloat16, enabled=model.llm.is_bf16):
        logits = model(batch, lambda m, _, hidden: m.llm.logits(hidden.states[places]))
    return float((logits.argmax(-1) == targets).float().mean())


if __name__ == "__main__":
    main()
