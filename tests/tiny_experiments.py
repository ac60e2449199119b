"""Every experiment at tiny size: its own classes and settings, random weights, real clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from affect_mllm import config
from tests import tiny_encoders, tiny_vlm
from tests.tiny import Tiny

# Sizes of connectors that are made small wherever they stand; widths stay a multiple of 12 heads.
SMALL = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "common_size": 32,
    "size": 24,
    "inner_size": 32,
    "r": 2,
    "grid": 4,
    "output_size": 48,
}
# A part of a Hub id → the tiny folder that has the same architecture, and its picture size.
SPEECH = {"wavlm": "wavlm", "data2vec": "data2vec", "wav2vec2": "wav2vec2"}
VISION = {"siglip": "siglip", "dinov2": "dinov2"}
TIMM = {"eva": ("eva", 28), "swin": ("swin", 32)}


def experiment(tiny: Tiny, name: str, run_dir: Path, *, launch: str = "single") -> DictConfig:
    """The composed, shrunk and checked configuration of an experiment, one step a stage."""
    given = [f"run_dir={run_dir}", f"data.manifest={tiny.root / 'manifest.jsonl'}"]
    cfg = config.compose("train", [f"experiment={name}", f"launch={launch}", *given])
    OmegaConf.set_struct(cfg, False)
    shrink(tiny, cfg.model)
    cached = cfg.data.cache_dir is not None
    cfg.data.cache_dir = str(run_dir / "features") if cached else None
    cfg.data.max_tokens = 2048
    cfg.data.reader.faces.detector = None
    cfg.data.reader.sampling = {
        "_target_": "affect_mllm.media.sampling.Sampling",
        "kind": "uniform",
        "frames": 2,
    }
    cfg.launch = {**cfg.launch, "precision": "fp32", "workers": 0}
    for stage in cfg.stages.values():
        stage.steps, stage.batch_size, stage.schedule.warmup_steps = 1, 3, 0
        stage.init_from = "previous"
    return config.checked(cfg)


def shrink(tiny: Tiny, node: Any) -> None:
    """Make `node` and all below it tiny, in place."""
    if not isinstance(node, DictConfig):
        return
    kind = str(node.get("_target_", "")).rsplit(".", 1)[-1]
    for key, value in node.items():
        if isinstance(value, int) and not isinstance(value, bool):
            node[key] = min(value, SMALL.get(str(key), value))
        shrink(tiny, value)
    if kind == "TimmEncoder":
        name, node.transform.size = _like(str(node.model), TIMM, ("efficientnet", 64))
        node.model = str(tiny_encoders.folder(tiny.root, name))
        if "image_size" in node:
            node.image_size = node.transform.size
    elif kind == "HFVisionEncoder":
        node.model = str(tiny_encoders.folder(tiny.root, _like(str(node.model), VISION, "clip")))
        node.transform.size = 32
    elif kind == "VideoMAEEncoder":
        node.model = str(tiny_encoders.folder(tiny.root, "videomae"))
        node.transform.size = 32
    elif kind == "SpeechEncoder":
        node.model = str(tiny_encoders.folder(tiny.root, _like(str(node.model), SPEECH, "hubert")))
        if "duration_s" in node.transform:
            node.transform.duration_s = 0.1
    elif kind == "WhisperEncoder":
        node.model, node.transform.n_mels = str(tiny.root / "whisper"), 80
    elif kind == "LanguageModel":
        tied = "smollm2" in str(node.model)
        folder = tiny.root / ("llm" if tied else "llm_untied")
        node.update(model=str(folder), dtype="float32", attention="sdpa")
    elif kind == "NativeVLM":
        node.update(
            model=str(tiny_vlm.build(tiny, tiny.root)),
            dtype="float32",
            attention="sdpa",
            image_pixels=[784, 6272],
            video_pixels=[784, 6272],
        )
    elif kind == "AffectMLLM":
        node.fast_encoders = False


def _like(model: str, names: dict[str, Any], default: Any) -> Any:
    return next((found for part, found in names.items() if part in model), default)
