"""conversations: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    kit.put(root / "images/coco/000.jpg", root / "images/clip.mp4")
    asked = [{"from": "human", "value": "<image>\nWho?"}, {"from": "gpt", "value": "A child."}]
    again = [*asked, {"from": "human", "value": "Why?"}, {"from": "gpt", "value": "It plays."}]
    film = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "<video>\nHow does he feel?"},
        {"role": "assistant", "content": "neutral"},
    ]
    text = [{"from": "human", "value": "Hello."}, {"from": "gpt", "value": "Hello!"}]
    records = [
        {"id": "000", "image": "coco/000.jpg", "conversations": asked},
        {"id": "000", "image": "coco/000.jpg", "conversations": again},
        {"id": 7, "video": {"clip": "clip.mp4"}, "conversations": film},
        {"id": "text", "conversations": text},
    ]
    path = write(root / "llava_mix.json", json.dumps(records))
    args = [str(path), "--media-root", str(root / "images"), "--licence", "CC BY 4.0"]
    return Made(args, path, 4, counted=False)
