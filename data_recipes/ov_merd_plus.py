"""OV-MERD+ (MER-UniBench) → manifest: `python data_recipes/ov_merd_plus.py FOLDER`.

FOLDER is `ovmerdplus-process` as MER-UniBench distributes it: `ovlabel.csv` (`name, openset`),
`subtitle_eng.csv` (`name, sentence`), `video/`, `audio/`, `openface_face/`.
Format: zeroQiaoba/AffectGPT@fffca79.
"""

from __future__ import annotations

from collections.abc import Iterator

from commandline import app
from readers.media import Clips
from readers.mer import open_labels, said, subtitles
from readers.tables import read_csv
from recipe import Dataset, Entry, Inputs

DATASET = Dataset(
    name="ov_merd_plus",
    title="OV-MERD+ (Chinese film and TV clips; video, sound, faces, text; open-vocabulary labels)",
    licence="EULA, academic research only",
    access="MER-UniBench's links, https://github.com/zeroQiaoba/AffectGPT (EULA of MER2025)",
    source="Lian et al. 2025, ICML (AffectGPT), arXiv 2501.16566",
    counts={"test": 532},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each clip; the whole set is for testing."""
    texts = subtitles(inputs.folder / "subtitle_eng.csv", "sentence", needed=not inputs.subset)
    clips = Clips(inputs)
    for line in read_csv(inputs.folder / "ovlabel.csv", ["name", "openset"]):
        name = line.text("name")
        subtitle = texts[name].optional("sentence") if name in texts else ""
        row = {"id": name, **clips.of(name), **said(subtitle, "en")}
        labels = {"emotions": open_labels(line)}
        yield Entry({**row, "split": "test", "labels": labels}, line.path, line.number)


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
