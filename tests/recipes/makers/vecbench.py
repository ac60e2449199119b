"""vecbench: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    lines = []
    for at, (task, truth) in enumerate(
        [("FI-2", "Positive"), ("FI-2", "negative"), ("FI-8", "awe")]
    ):
        image = f"images/{at}.jpg"
        kit.put(root / image)
        shown = {"type": "image", "image": f"file:///data/{root.name}/{image}" if at else image}
        said = [{"role": "user", "content": [shown, {"type": "text", "text": "Which emotion?"}]}]
        kinds = ["positive", "negative"] if task == "FI-2" else ["awe", "fear"]
        lines.append({"conversations": said, "task": task, "ground_truth": truth})
        lines[-1]["candidates"] = kinds
    path = write(root / "vecbench.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    return Made([str(root), "--task", "FI-2"], path, 2)
