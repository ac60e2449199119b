"""mvbench: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write

TASKS = (
    *("action_sequence", "action_prediction", "action_antonym", "fine_grained_action"),
    *("unexpected_action", "object_existence", "object_interaction", "object_shuffle"),
    *("moving_direction", "action_localization", "scene_transition", "action_count"),
    *("moving_count", "moving_attribute", "state_change", "fine_grained_pose"),
    *("character_order", "egocentric_navigation", "episodic_reasoning"),
    "counterfactual_inference",
)


def make(root: Path, kit: Kit) -> Made:
    videos = root / "video"
    kit.put(videos / "star/Charades_segment/a.mp4", videos / "ssv2_video_mp4/b.mp4")
    question = {"question": "What happens?", "candidates": ["a fall", "a jump"], "answer": "a jump"}
    cut = {"start": 0.0, "end": 0.2}
    for task in TASKS:
        write(root / f"json/{task}.json", "[]")
    write(root / "json/action_antonym.json", json.dumps([question | {"video": "b.mp4"}]))
    first = [question | cut | {"video": "a.mp4"}]
    path = write(root / "json/action_sequence.json", json.dumps(first))
    return Made([str(root)], path, 2)
