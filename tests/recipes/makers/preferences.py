"""preferences: a few rows in ms-swift's and AVERE's formats, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    kit.put(root / "media/000.jpg", root / "media/clip.mp4", root / "media/clip.wav")
    asked = [
        {"role": "user", "content": "<image>Who?"},
        {"role": "assistant", "content": "A child."},
    ]
    other = [asked[0], {"role": "assistant", "content": "Nobody."}]
    records = [
        {"id": "a", "messages": asked, "images": ["000.jpg"], "rejected_response": "A man at sea."},
        {"id": "b", "messages": asked, "images": ["000.jpg"], "rejected_messages": other},
        {"id": "c", "prompt": "How does he feel?", "chosen": "Calm, he smiles.", "rejected": "Sad.",
         "video": "clip.mp4", "audio": "clip.wav"},
    ]  # fmt: skip
    path = write(root / "pairs.json", json.dumps(records))
    args = [str(path), "--media-root", str(root / "media"), "--licence", "CC BY 4.0"]
    return Made(args, path, 3, counted=False)
