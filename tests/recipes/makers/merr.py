"""merr: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, table, write


def make(root: Path, kit: Kit) -> Made:
    kit.put(root / "clips/video/samplenew_1.mp4", root / "clips/video/samplenew_2.mp4")
    entry = {
        "AU_list": ["AU12"],
        "visual_prior_list": ["Lip corner puller", "Cheek raiser"],
        "audio_prior_list": "a bright voice",
        "peak_index": "3",
        "pseu_emotion": "happy",
        "text": "",
        "smp_reason_caption": "The bright voice and the smile say that she is happy.",
    }
    other = {**entry, "pseu_emotion": "doubt", "text": "Is it?", "visual_prior_list": []}
    other["peak_index"] = "170"
    content = json.dumps({"samplenew_1": entry, "samplenew_2": other})
    path = write(root / "annotations/MERR_fine_grained.json", content)
    write(path.with_suffix(".txt"), "samplenew_1 happy\nsamplenew_2 35 doubt -1.17\n")
    columns = ["name", "sentence"]
    table(path.with_name("transcription_en_all.csv"), columns, ["samplenew_1", "Look here!"])
    args = [str(path.parent), "--media-root", str(root / "clips"), "--grain", "fine"]
    return Made(args, path, 2)
