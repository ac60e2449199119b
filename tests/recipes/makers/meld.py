"""meld: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, table, write

MELD_COLUMNS = [
    *("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID"),
    *("Season", "Episode", "StartTime", "EndTime"),
]


def make(root: Path, kit: Kit) -> Made:
    def rows(*spoken: tuple[str, str, str, int, int]) -> list[list[object]]:
        times = (8, 21, "00:16:16,059", "00:16:21,731")
        return [
            [at, text, "Ann", emotion, sentiment, dialogue, turn, *times]
            for at, (text, emotion, sentiment, dialogue, turn) in enumerate(spoken, start=1)
        ]

    train = rows(
        ("Thatâ€™s the companyâ€™s.", "neutral", "neutral", 0, 0),
        ("You\x92ve been caf\xe9d, \x93really\x94?", "surprise", "positive", 0, 1),
        ("This one does not decode.", "joy", "positive", 125, 3),
    )
    table(root / "train_sent_emo.csv", MELD_COLUMNS, *train)
    val = rows(("Oh my — he’s lost it.", "sadness", "negative", 110, 7))
    table(root / "dev_sent_emo.csv", MELD_COLUMNS, *val)
    path = root / "test_sent_emo.csv"
    table(path, MELD_COLUMNS, *rows(('"No, no!"', "fear", "negative", 0, 0)))
    kit.put(root / "train_splits/dia0_utt0.mp4", root / "train_splits/dia0_utt1.mp4")
    write(root / "train_splits/dia125_utt3.mp4", "no film at all")
    (root / "dev_splits_complete").mkdir()
    kit.put(root / "output_repeated_splits_test/dia0_utt0.mp4")
    kit.put(root / "output_repeated_splits_test/final_videos_testdia0_utt0.mp4")
    write(root / "output_repeated_splits_test/._dia0_utt0.mp4", "macOS")
    return Made([str(root)], path, 5)
