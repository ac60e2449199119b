"""A tiny model of the real classes, made of ordinary weight folders, with real small clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.data.example import Example, ExampleMaker
from affect_mllm.data.settings import DataSettings
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.tiny.language import tiny_llm
from affect_mllm.models.tiny.weights import seeded, tiny_encoder, tiny_timm
from affect_mllm.tools.tiny.clips import write_corpus
from affect_mllm.types import Batch, Sample

QUESTION = "Which emotion does the person express?"


@dataclass(frozen=True)
class Tiny:
    """Folders of tiny weights and a manifest under `root`; what is made of them by real code."""

    root: Path

    def overrides(self, run_dir: Path, *more: str) -> list[str]:
        """The demo's experiment with tiny parts, in float32, three steps at most a stage."""
        stages = [
            f"stages.{name}.{key}"
            for name in ("align", "emotion", "instruct")
            for key in ("steps=2", "batch_size=4", "save_every=50")
        ]
        return [
            "experiment=demo",
            f"run_dir={run_dir}",
            f"model.llm.model={self.root / 'llm'}",
            "model.llm.dtype=float32",
            "model.llm.lora.r=2",
            f"model.encoders.visual.model={self.root / 'vision'}",
            "model.encoders.visual.transform.size=64",
            f"model.encoders.audio.model={self.root / 'whisper'}",
            "+model.fast_encoders=false",
            f"data.manifest={self.root / 'manifest.jsonl'}",
            f"data.cache_dir={self.root / 'features'}",
            "data.reader.faces.detector=null",
            "data.reader.sampling.frames=2",
            "data.max_tokens=512",
            "launch.precision=fp32",
            "launch.workers=0",
            *stages,
            *more,
        ]

    @cached_property
    def cfg(self) -> Any:
        """The whole composed and checked configuration."""
        return config.checked(config.compose("train", self.overrides(self.root / "unused")))

    def model(self, attention: str = "sdpa", llm: Path | None = None) -> AffectMLLM:
        """A new model in eval mode; with the LLM of the folder `llm`, without LoRA, if given."""
        node = self.cfg.model.copy()
        node.llm.attention = attention
        if llm is not None:
            node.llm.model, node.llm.lora = str(llm), None
        torch.manual_seed(0)
        return config.build(node).eval()

    @cached_property
    def data(self) -> DataSettings:
        return config.build(self.cfg.data)

    def maker(self, model: AffectMLLM) -> ExampleMaker:
        return self.data.maker(model.llm.tokenizer, model.span_lengths())

    @cached_property
    def samples(self) -> list[Sample]:
        return manifest.read(self.root / "manifest.jsonl")


def build(root: Path) -> Tiny:
    """Write the weight folders and the corpus."""
    llm(root / "llm", tied=True)
    llm(root / "llm_untied")
    for write, name in ((tiny_timm, "efficientnet"), (tiny_encoder, "whisper")):
        seeded(name)
        write(name, root / {"efficientnet": "vision"}.get(name, name))
    write_corpus(root)
    return Tiny(root)


def llm(folder: Path, *, tied: bool = False, sentencepiece: bool = False) -> Path:
    """The folder of a tiny Llama: its head the embeddings themselves (`tied`), as SmolLM2 has it,
    or a matrix of its own, as most of 7B have it; a byte-level or a SentencePiece tokenizer."""
    torch.manual_seed(0)
    tiny_llm("llama-2" if sentencepiece else "llama", folder, tie_word_embeddings=tied)
    return folder


def states(seed: int, lengths: dict[str, int], widths: dict[str, int]) -> dict[str, np.ndarray]:
    """Random encoder states `[S, D]` by modality."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal((length, widths[name])).astype(np.float32)
        for name, length in lengths.items()
    }


def examples(
    tiny: Tiny, model: AffectMLLM, modalities: Sequence[Sequence[str]], answer: str | None = "happy"
) -> list[Example]:
    """One example for each list of modalities, each with its own states, lengths and words."""
    maker = tiny.maker(model)
    widths = {m: int(model.encoders[branch].hidden_size) for m, branch in model.branches.items()}
    made = []
    for i, names in enumerate(modalities):
        lengths = {name: 5 + 3 * i + 2 * k for k, name in enumerate(names) if name != "text"}
        subtitle = f"sentence {'really ' * i}{i}" if "text" in names else None
        made.append(
            maker.make(
                Sample(f"e{i}", tiny.root, subtitle=subtitle),
                states(i, lengths, widths),
                question=QUESTION,
                answer=answer,
            )
        )
    return made


@torch.no_grad()
def logits(model: AffectMLLM, batch: Batch) -> list[torch.Tensor]:
    """Logits `[L, V]` at every real position, by example."""
    every = batch.segments >= 0
    found = model(batch, lambda m, _, hidden: m.llm.logits(hidden.states[every]))
    owner = batch.segments[every]
    return [found[owner == i] for i in range(len(batch.sample_ids))]
