"""mme_emotion: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write

TASKS = {
    "ER-Lab": ("Anger", ["Anger", "Other"]),
    "ER-Wild": ("fear", ["fear", "joy"]),
    "Noise-ER": ("worried", ["worried", "happy"]),
    "FG-ER": ("Doubt/Confusion;Peace", ["Doubt/Confusion", "Peace"]),
    "ML-ER": ("sad,fear", ["happy", "sad", "fear"]),
    "SA": ("negative", ["positive", "negative", "neutral"]),
    "FG-SA": ("weak negative", ["weak negative", "neutral"]),
    "IR": ("agreeing", ["agreeing", "wishing"]),
}


def make(root: Path, kit: Kit) -> Made:
    for at, (task, (label, choices)) in enumerate(TASKS.items()):
        video = f"SOURCE/video/clip_{at}.mp4"
        kit.put(root / (task if at % 2 else "") / video)
        content = [{"video_id": video, "label": label, "label_set": choices}]
        path = write(root / f"{task}/question/{task.replace('-', '_')}.json", json.dumps(content))
        if task == "SA":
            clue = {"video_id": video, "ground_truth": label, "audio_clue": "A flat voice."}
            write(root / "SA/audio_clue/SA_qwen2_audio_clues.json", json.dumps([clue]))
    return Made([str(root)], path, 8)
