"""Checkpoints to export, prompts about them, and what they answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from affect_mllm import config
from affect_mllm.data.collate import collate
from affect_mllm.models import checkpoint as store
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.types import Sample
from tests import tiny_omni, tiny_vlm
from tests.tiny import llm

QUESTIONS = ("Which emotion?", "What does the voice say?", "Why?", "Describe the face.")


def settings(tiny, folder: Path, kind: str = "qwen2_5_vl") -> Any:
    if kind.startswith("encoders"):
        node = tiny.cfg.copy()
        if kind != "encoders":
            pieces = kind == "encoders_pieces"
            node.model.llm.model = str(llm(folder / "llm", tied=pieces, sentencepiece=pieces))
        return node
    if hears := "omni" in kind:
        vlm = tiny_omni.build(folder, kind)
    else:
        vlm = tiny_vlm.build(tiny, folder, kind.removesuffix("_tied"), tied=kind.endswith("_tied"))
    overrides = [
        f"experiment={'omni_hybrid' if hears else 'emotion_qwen'}",
        f"data.manifest={tiny.root / 'manifest.jsonl'}",
        "data.reader.sampling.kind=uniform",
        "data.reader.sampling.frames=3",
        "model.lora.r=2",
        *tiny_vlm.overrides(vlm),
    ]
    return config.checked(config.compose("train", overrides))


def checkpoint(folder: Path, cfg: Any, *, dtype: str = "float32") -> Path:
    """A checkpoint of a model that is not at its neutral start, as training writes it."""
    node = cfg.copy()
    llm = node.model.get("llm", node.model)
    llm.dtype = dtype
    torch.manual_seed(0)
    model = config.build(node.model, plugins=node.plugins)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("compressors.", "fusion.")) or "lora_B" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    digest = {str(node.data.manifest): "0" * 64}
    meta = {
        "experts": ["general", "emotion"],
        "seed": 1,
        "lineage": [{"stage": "last", "parent": None, "data": digest}],
        "packages": {"torch": torch.__version__},
        "git": None,
    }
    store.save(folder, model, node, meta)
    return folder


def prompts(tiny) -> list[dict[str, Any]]:
    """Twenty, over clips, sounds and words alone."""
    made = []
    for number in range(20):
        row = tiny.samples[number % len(tiny.samples)]
        media = {} if number == 7 else {kind: str(row.path(kind)) for kind in row.media}
        subtitle = row.subtitle if number % 3 or not set(media) & {"video"} else None
        question = QUESTIONS[number % len(QUESTIONS)]
        made.append({"question": question, "media": media, "subtitle": subtitle})
    return made


def answers(made: Path, asked: list[dict[str, Any]]) -> list[str]:
    """What the checkpoint itself generates, one prompt at a time."""
    return answers_of(store.load_model(made), made, asked)


def answers_of(model: AffectMLLM, made: Path, asked: list[dict[str, Any]]) -> list[str]:
    cfg = store.load_config(made)
    cfg.data.cache_dir = None
    data = config.build(cfg.data)
    features = data.features(model.transforms(), {})
    maker = data.maker(model.llm.tokenizer, model.span_lengths())
    texts = []
    for each in asked:
        sample = Sample("x", Path("/"), media=each["media"], subtitle=each["subtitle"])
        arrays = features.clip(sample).arrays if each["media"] else {}
        example = maker.make(sample, arrays, question=each["question"], encoded=False)
        batch = collate([example], pad_id=0)
        texts += model.generate(batch, max_new_tokens=8, end_id=maker.chat.end_id)[0]
    return texts
