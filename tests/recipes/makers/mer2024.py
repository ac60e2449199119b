"""mer2024: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, corpora, table


def make(root: Path, kit: Kit) -> Made:
    labels = {
        "train": {"samplenew_1": {"emo": "happy"}},
        "test1": {"samplenew_2": {"emo": "angry"}},
        "test2": {"samplenew_3": {"emo": "sad"}},
    }
    kit.put(*(root / f"video/samplenew_{at}.mp4" for at in (1, 2, 3)))
    texts = [[f"samplenew_{at}", "你好"] for at in (1, 2, 3)]
    table(root / "transcription_merge.csv", ["name", "chinese"], *texts)
    return Made([str(root)], corpora(root / "label-6way.npz", labels), 3)
