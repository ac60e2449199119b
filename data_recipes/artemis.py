"""ArtEmis → manifest: `python data_recipes/artemis.py FOLDER --media-root wikiart`.

FOLDER holds `artemis_dataset_release_v0.csv` (`art_style, painting, emotion, utterance`); the
paintings are WikiArt's, `STYLE/PAINTING.jpg` below `--media-root`. One row an annotation: the
viewer's emotion and why (`description`). `group` is the painting; there is no published split in
the file. Format and count: optas/artemis@d84b719.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from commandline import app
from readers.tables import read_csv
from recipe import Dataset, Entry, Inputs

EMOTIONS = (
    *("amusement", "awe", "contentment", "excitement", "anger", "disgust", "fear", "sadness"),
    "something else",
)
DATASET = Dataset(
    name="artemis",
    title="ArtEmis (paintings; what viewers feel and why; nine answers)",
    licence="terms of use of artemisdataset.org, non-commercial research",
    access="form, https://www.artemisdataset.org; paintings: WikiArt",
    source="Achlioptas et al. 2021, CVPR, arXiv 2101.07396",
    counts={"total": 454684},
    labels={"emotion": EMOTIONS},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each annotation, numbered within its painting."""
    seen: Counter[str] = Counter()
    path = inputs.folder / "artemis_dataset_release_v0.csv"
    for line in read_csv(path, ["art_style", "painting", "emotion", "utterance"]):
        painting = f"{line.text('art_style')}/{line.text('painting')}"
        seen[painting] += 1
        row = {"id": f"{painting}#{seen[painting]}", "group": painting}
        row |= {"image": inputs.media_root / f"{painting}.jpg"}
        labels = {"emotion": line.text("emotion"), "description": line.text("utterance")}
        yield Entry({**row, "labels": labels}, line.path, line.number)


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
