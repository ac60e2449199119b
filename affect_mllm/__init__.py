"""affect_mllm: train and evaluate emotion multimodal LLMs (see docs/design.md)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from affect_mllm import auto_classes, log

if TYPE_CHECKING:
    import torch

    from affect_mllm.tools.pipeline import Pipeline

auto_classes.install()
log.hush()


def load(
    path_or_hub_id: str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    dtype: str | None = None,
    plugins: Sequence[str] = (),
) -> Pipeline:
    """A checkpoint that answers questions about clips, from its folder or a repository of the Hub.

    It is loaded once, in eval mode, on `device` (a GPU if there is one). `dtype` is that of the
    language model's weights (`float32`, `bfloat16`; None: the checkpoint's). `plugins` are packages
    of one's own whose classes it may name. `.ask` answers, `.likelihoods` compares labels,
    `.push_to_hub` uploads, `.model` is the network.
    Raises CheckpointError for what is no complete checkpoint, ConfigError for what it may not name.
    """
    from affect_mllm.tools.pipeline import load as loaded

    return loaded(path_or_hub_id, device=device, dtype=dtype, plugins=plugins)
