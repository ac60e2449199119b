"""llava_mix665k: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    kit.put(root / "coco/train2017/000.jpg", root / "gqa/images/1.jpg")
    first = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A dog."}]
    last = [{"from": "human", "value": "Is it red?\n<image>"}, {"from": "gpt", "value": "No."}]
    text = [{"from": "human", "value": "Hello."}, {"from": "gpt", "value": "Hello!"}]
    records = [
        {"id": "000", "image": "coco/train2017/000.jpg", "conversations": first},
        {"id": "1", "image": "gqa/images/1.jpg", "conversations": last},
        {"id": "wgByO4Y_0", "conversations": text},
    ]
    path = write(root / "llava_v1_5_mix665k.json", json.dumps(records))
    return Made([str(root)], path, 3)
