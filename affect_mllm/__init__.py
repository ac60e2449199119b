"""affect_mllm: train and evaluate emotion multimodal LLMs (see docs/design.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from affect_mllm import auto_classes, log

if TYPE_CHECKING:
    from affect_mllm.models.mllm import AffectMLLM

auto_classes.install()
log.hush()


def load(folder: str | Path, *, plugins: Sequence[str] = ()) -> AffectMLLM:
    """The model of a checkpoint folder, in eval mode; `plugins` are packages that are admitted.

    Raises CheckpointError for a folder that is no complete checkpoint.
    """
    from affect_mllm.models.checkpoint import load_model

    return load_model(Path(folder), plugins=plugins)
