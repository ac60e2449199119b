"""What lmms-eval finds by its entry points: the name of our model, and where its class is."""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """The `ModelManifest` of group `lmms_eval.models`; only lmms-eval asks for it."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        "affect_mllm", chat_class_path="affect_mllm.tools.lmms_eval.model.ChatModel"
    )
