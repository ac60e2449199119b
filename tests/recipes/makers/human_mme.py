"""human_mme: a few questions in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    kit.put(root / "pictures/a.jpg", root / "pictures/b.jpg")
    text = {"type": "text", "text": "How does she feel?\nA. glad\nB. sad\nC. angry\nD. afraid"}

    def ask(name: str, kind: str, answer: dict, picture: str = "pictures/a.jpg", **more) -> Path:
        shown = {"type": kind, "image": picture, "width": 8, "height": 8} | more
        record = {"type": "emotion_choice", "question": [shown, text], "answer": answer}
        return write(root / "final_qa" / name / "qa.json", json.dumps(record))

    path = ask("q1", "image", {"type": "choice", "data": ["B", "sad"]})
    ask("q2", "image", {"type": "choice", "answer": "A"}, "pictures/b.jpg")
    boxes = [["green", [0.25, 0.25, 0.75, 0.75]]]
    ask("q3", "image_bbox", {"type": "choice", "data": ["A"]}, "pictures/b.jpg", bboxes=boxes)
    ask("q4", "image", {"type": "bbox", "data": [0, 0, 1, 1]})
    kit.put(*(root / f"pictures/{x}.jpg" for x in "cdef"))
    four = {f"image_{x}": f"pictures/{y}.jpg" for x, y in zip("ABCD", "cdef", strict=True)}
    ask("q5", "multi_image", {"type": "choice", "data": ["D", "last"]}, **four)
    args = [str(root / "final_qa"), "--media-root", str(root)]
    return Made(args, path, 4, counted=False)
