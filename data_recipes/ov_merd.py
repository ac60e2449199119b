"""OV-MERD as OV-MER tests on it → manifest: `python data_recipes/ov_merd.py FOLDER`.

FOLDER has `check-openset.csv` (`name, openset`), MERTools' reference of MER2024's
open-vocabulary track; `--media-root` is the release with its clips (`video/`, `audio/`,
`openface_face/`). The English subtitles of `subtitle_chieng.csv` or `subtitle_eng.csv` are read
where there are any. All rows are for testing; the same clips with training labels are in
`mer2025.py --subset ovmerd`. Format: zeroQiaoba/MERTools@89120b7, MER2024/ov_store.
"""

from __future__ import annotations

from collections.abc import Iterator

from commandline import app
from readers.media import Clips
from readers.mer import open_labels, said, subtitles
from readers.tables import read_csv
from recipe import Dataset, Entry, Inputs

TEXTS = {"subtitle_chieng.csv": "english", "subtitle_eng.csv": "sentence"}
DATASET = Dataset(
    name="ov_merd",
    title="OV-MERD, test (Chinese film and TV clips; video, sound, faces; open-vocabulary labels)",
    licence="EULA, academic research only",
    access="labels: https://github.com/zeroQiaoba/MERTools; clips: EULA of MER2023",
    source="Lian et al. 2025, ICML (OV-MER), arXiv 2410.01495; zeroQiaoba/MERTools@89120b7",
    counts={"test": 332},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each clip."""
    places = [root / name for name in TEXTS for root in (inputs.media_root, inputs.folder)]
    found = next((path for path in places if path.is_file()), None)
    column = TEXTS[found.name] if found else ""
    texts = subtitles(found, column) if found else {}
    clips = Clips(inputs)
    for line in read_csv(inputs.folder / "check-openset.csv", ["name", "openset"]):
        name = line.text("name")
        subtitle = texts[name].optional(column) if name in texts else ""
        row = {"id": name, **clips.of(name), **said(subtitle, "en"), "split": "test"}
        labels = {"emotions": open_labels(line)}
        yield Entry({**row, "labels": labels}, line.path, line.number)


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
