"""ravdess: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    video, sound = root / "Video_Speech/Actor_01", root / "Audio_Speech/Actor_01"
    kit.put(video / "01-01-03-02-01-01-01.mp4", video / "02-01-03-02-01-01-01.mp4")
    kit.put(sound / "03-01-03-02-01-01-01.wav", sound / "03-01-06-01-02-02-01.wav")
    kit.put(root / "Audio_Song/Actor_01/03-02-02-01-01-01-01.wav")
    wrong = sound / "03-01-09-01-02-02-01.wav"
    return Made([str(root)], wrong, 2, named=True)
