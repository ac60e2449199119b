"""CREMA-D → manifest: `python data_recipes/crema_d.py FOLDER`.

FOLDER is the repository with its large files: `AudioWAV/1001_DFA_ANG_XX.wav`, and where there are,
`VideoFlash/*.flv`. A name is `ACTOR_SENTENCE_EMOTION_LEVEL`; `emotion` is what the actor was asked
for. One file's level is cut off (`1040_ITH_SAD_X`). There is no published split: make one by
`speaker`. Format: CheyneyComputerScience/CREMA-D (README).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from commandline import app
from readers.media import AUDIO, VIDEO, index
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": "", "X": ""}
TAKE = re.compile(r"(?P<actor>1\d{3})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>\w+)")
DATASET = Dataset(
    name="crema_d",
    title="CREMA-D (91 actors, 12 sentences; video, sound; six emotions, levels)",
    licence="Open Database License 1.0",
    access="open, https://github.com/CheyneyComputerScience/CREMA-D",
    source="Cao et al. 2014, doi 10.1109/TAFFC.2014.2336244",
    counts={"total": 7442},
    labels={"emotion": tuple(EMOTIONS.values())},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each sound file, with its video where there is one."""
    folder = inputs.media_folder("AudioWAV")
    videos = index(inputs.media_root / "VideoFlash", VIDEO)
    for at, (name, sound) in enumerate(index(folder, AUDIO).items(), start=1):
        take = TAKE.fullmatch(name)
        if take is None or take["emotion"] not in EMOTIONS or take["level"] not in LEVELS:
            raise DataError(str(sound), "a name of another form", expected="1001_DFA_ANG_XX.wav")
        row = {"id": name, "audio": sound, "language": "en", "speaker": take["actor"]}
        row |= {"video": videos[name]} if name in videos else {}
        labels = {"emotion": EMOTIONS[take["emotion"]], "sentence": take["sentence"]}
        if LEVELS[take["level"]]:
            labels["intensity_level"] = LEVELS[take["level"]]
        yield Entry({**row, "labels": labels}, folder, at)


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
