"""emobench_m: a few rows of each set in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write

SAYS = "<video>\nThe person in video says: It rains again. Determine the emotion conveyed. Choose"
# set → its folder below `dataset`, and questions with their answers
SETS = {
    "FGMSA": ("FGMSA", [(SAYS, "weak negative"), (SAYS, "Strong Positive")]),
    "MC-EIU": (
        "MC-EIU",
        [(f"{SAYS.split(' Det')[0]} Analyze the emotion and intent.", "{'emotion label': 'sad', "
          "'intent label': 'consoling'}")],
    ),
    "MELD": (
        "MELD",
        [(f"{SAYS.split(' Det')[0]} Please watch the provided video and", "neutral"),
         (SAYS, "{'emotion': 'joy'}")],
    ),
    "MOSEI": ("MOSEI", [(SAYS, "negative"), (SAYS, "Neutral")]),
    "MOSI": ("MOSI", [(SAYS, "neutral")]),
    "MUSTARD": (
        "MUSTARD",
        [("<video>\nThe person in the video says: Oh, a bill. Does this statement express sarcasm?",
          "true")],
    ),
    "RAVDSS_song": ("RAVDSS_song", [("<video>\nPlease watch the provided video and", "calm")]),
    "RAVDSS_speech": ("RAVDSS_speech", [("<video>\nPlease watch the video and", "surprised")]),
    "SIMS": ("SIMS_test", [(SAYS, "positive")]),
    "ch-simsv2s": ("ch-simsv2s", [(SAYS, "negative")]),
    "funny": (
        "funny",
        [("<video>\nThe context sentences in the video is: a cat, a hat. The punchline sentence in "
          "the video is: a bat. Does this statement express humor?", "False")],
    ),
    "mer2023": ("mer2023", [(SAYS, "worried")]),
    "smile": ("smile", [("<video>\nReasoning task: why?", "The audience laughed because of it.")]),
}  # fmt: skip


def make(root: Path, kit: Kit) -> Made:
    for name, (folder, turns) in SETS.items():
        rows = []
        for at, (asked, answer) in enumerate(turns):
            video = f"videos/{name}/film{at}_0004/{at:05}.mp4"
            kit.put(root / f"dataset/{folder}/{video}")
            turn = {"from": "human", "value": asked}, {"from": "gpt", "value": answer}
            rows.append({"id": str(at), "video": video, "conversations": turn})
        write(root / f"benchmark_json/{name}.json", json.dumps(rows))
    return Made([str(root), "--set", "MOSEI"], root / "benchmark_json/MOSEI.json", 2)
