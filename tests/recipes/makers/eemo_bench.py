"""eemo_bench: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write

LABEL = "[Image{}] Ranking:{{'Joy': 40, 'Fear': 9}}     category:Animal     Valence:7.0  "
LABEL += "Arousal:5.0  Dominance:1.0"


def make(root: Path, kit: Kit) -> Made:
    kit.put(*(root / f"images/{at}.jpg" for at in (3, 7, 9)))
    about = {"image1_label": LABEL.format(1), "image2_label": LABEL.format(2)}
    rows = []
    for at, (one, two) in enumerate([("3", "7"), ("7", "9")]):
        urls = {"image1_url": f"{one}.jpg", "image2_url": f"{two}.jpg", **about}
        asked = {"question": "Are both pictures sad?", "question_type": "Yes-or-No"}
        right = {"options": "{'A': 'No.', 'B': 'Yes.'}", "correct_answer": "A"}
        rows.append({"id": at, **urls, **asked, **right, "perceptual_dimension": "Valence"})
    asked = {"question": "Which one is sadder, and why?", "question_type": "Open_ended"}
    rows.append({"id": 2, **urls, **asked, "correct_answer": "The first, for its rain."})
    path = write(root / "EEmo-Bench(pair).json", json.dumps(rows))
    return Made([str(root), "--form", "pair"], path, 3)
