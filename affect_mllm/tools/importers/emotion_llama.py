"""Emotion-LLaMA's checkpoints, of either stage.

The names are those of ZebangCheng/Emotion-LLaMA@4ee28d2 (`minigpt4/models/minigpt_v2.py`), which
is MiniGPT-v2 with a linear map each for the features of the face (MAE), the clip (VideoMAE) and the
voice (HuBERT), in that order, and for the picture's class token.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from affect_mllm.tools.importers import minigpt_v2
from affect_mllm.tools.importers.imported import Found, Told
from affect_mllm.tools.importers.names import Names

PROJECT = "Emotion-LLaMA"
PROMPT = "prompt@data.prompt=emotion_llama_own"
NAMES = Names(
    {
        **minigpt_v2.NAMES.ours,
        "cls_tk_llama_proj.": "compressors.picture.project_class.",
        "feats_llama_proj1.": "compressors.face.project.",
        "feats_llama_proj2.": "compressors.clip.project.",
        "feats_llama_proj3.": "compressors.audio.project.",
    },
    # A classifier that is built and saved, and that no forward pass of theirs runs.
    none=("attention.",),
)


def found(path: Path, told: Told) -> Found:
    """What is in a file of Emotion-LLaMA, asked in the form that it was trained on.

    Raises CheckpointError as `minigpt_v2.found`.
    """
    made = minigpt_v2.of_family(path, told, PROJECT, NAMES)
    return replace(made, changes=[PROMPT, *made.changes])
