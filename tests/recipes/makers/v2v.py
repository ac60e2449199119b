"""v2v: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    kit.put(*(root / f"videos/0000{at}.mp4" for at in range(8)))
    pairs = {"comparisons": [["00000", "00001"], ["00001", "00002"]]}
    path = write(root / "train_labels.json", json.dumps(pairs))
    write(root / "test_labels.json", json.dumps({"comparisons": [["00003", "00004"]]}))
    lists = {"comparisons": [["00005", "00006", "00007"]]}
    write(root / "listwise_labels.json", json.dumps(lists))
    return Made([str(root)], path, 4)
