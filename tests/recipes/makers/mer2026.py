"""mer2026: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, table


def make(root: Path, kit: Kit) -> Made:
    names = [f"samplenew3_{at}" for at in (1, 2)]
    kit.put(*(root / "video" / f"{name}.mp4" for name in names), root / "audio/samplenew3_1.wav")
    path = root / "track3_emoprefer.csv"
    said = [[names[0], "They smile.", "They weep.", "a1"], [names[0], "Calm.", "Tense.", "a2"]]
    table(path, ["name", "a1", "a2", "preference"], *said, [names[1], "Joy.", "Grief.", "a2"])
    texts = [[names[0], "好", "Good!"], [names[1], "", ""]]
    table(root / "subtitle_chieng.csv", ["name", "chinese", "english"], *texts)
    table(root / "track1_train.csv", ["name", "discrete"], [names[0], "happy"], [names[1], "sad"])
    return Made([str(root), "--part", "emoprefer"], path, 3)
