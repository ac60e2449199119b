"""MiniGPT-v2's checkpoints: where Emotion-LLaMA's first stage starts.

The names are those of Vision-CAIR/MiniGPT-4@d94738a (`minigpt4/models/minigpt_v2.py`); its runner
saves what was trained, and buffers. LoRA's are those of peft 0.2, which both projects pin, or of
later ones, which name the adapter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affect_mllm.tools.importers import lora
from affect_mllm.tools.importers.files import read_tensors
from affect_mllm.tools.importers.imported import Found, Told
from affect_mllm.tools.importers.names import Names
from affect_mllm.types import CheckpointError

PROJECT = "MiniGPT-v2"
LLAMA = "llama_model.base_model.model."
NAMES = Names({"llama_proj.": "compressors.picture.project.", LLAMA: "llm.net."})
# Of transformers 4.30, which keeps the table of rotary frequencies beside each layer's weights.
BUFFER = re.compile(r"llama_model\..*\.rotary_emb\.inv_freq")
# A linear map of each kind but the picture's patches, which Emotion-LLaMA adds.
ADDED = r"compressors\.(picture\.project_class|(face|clip|audio)\.project)\..*"


def found(path: Path, told: Told) -> Found:
    """What is in a file of MiniGPT-v2, as a start for `emotion_llama`.

    Raises CheckpointError for a file of anything else than tensors and plain data, and for names
    that neither MiniGPT-v2 has nor `told` says.
    """
    return of_family(path, told, PROJECT, NAMES, fresh=ADDED)


def of_family(path: Path, told: Told, project: str, names: Names, *, fresh: str = "(?!)") -> Found:
    """What is in a file of MiniGPT-v2 or a model made of it, by `names`.

    Raises CheckpointError as `found`, and for a file without LoRA.
    """
    weights, settings = read_tensors(path)
    buffers = [name for name in weights if BUFFER.fullmatch(name)]
    kept = {name: tensor for name, tensor in weights.items() if name not in buffers}
    made = names.told(told.names, told.dropped).apply(kept, project)
    ours = lora.named(made.weights)
    adapted = lora.changes(ours, "model.llm.lora", _alpha(settings))
    if not adapted:
        raise CheckpointError(f"{project} checkpoint", "missing every lora_A", expected="LoRA")
    return Found(
        project,
        "emotion_llama",
        {path.name: path},
        ours,
        changes=adapted,
        ignored=[*made.ignored, *buffers],
        dropped=made.dropped,
        fresh=fresh,
        alpha=lora.unsaid(adapted, "model.llm.lora"),
    )


def _alpha(settings: Any) -> float | None:
    """LoRA's alpha in the file's own config, if it is there."""
    model = settings.get("model", {}) if isinstance(settings, Mapping) else {}
    return model.get("lora_alpha") if isinstance(model, Mapping) else None
