"""C-EXPR-DB's annotated videos → manifest: `python data_recipes/c_expr_db.py FOLDER`.

FOLDER has `annotation/NN.csv` (begin and end of a segment, and a 1 in the column of its compound
emotion or of `Other`), and the videos `NN.…` in it or in a folder right below. A row is a
segment, `group` its video. The five published folds test on the clips that they validate on, and
share 12 to 19 videos between training and validation; split by `group` instead. Format:
nicolas-richet/feature-vs-text-compound-emotion@a89a7e7 (C-EXPR-DB).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from commandline import app
from readers.media import VIDEO, need_folder, spread
from readers.tables import Line, read_csv
from recipe import Dataset, Entry, Inputs

from affect_mllm.media.folder import entries
from affect_mllm.types import DataError

BEGIN, END = (f"{which} Time - hh:mm:ss.ms" for which in ("Begin", "End"))
COMPOUNDS = (
    *("Fearfully Surprised", "Happily Surprised", "Sadly Surprised", "Disgustedly Surprised"),
    *("Angrily Surprised", "Sadly Fearful", "Sadly Angry", "Other"),
)
_TIME = re.compile(r"(\d+):([0-5]\d):([0-5]\d(?:\.\d+)?)")
DATASET = Dataset(
    name="c_expr_db",
    title="C-EXPR-DB, 56 annotated videos (seven compound emotions, or another)",
    licence="none stated (annotations); videos: EULA of C-EXPR-DB",
    access="https://github.com/nicolas-richet/feature-vs-text-compound-emotion; videos: request",
    source="Richet et al. 2024, arXiv 2407.12927; nicolas-richet/…@a89a7e7",
    counts={"total": 125},
    labels={"emotion": tuple(each.lower() for each in COMPOUNDS)},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each segment."""
    folder = need_folder(inputs.folder, "annotation", "C-EXPR-DB/annotation")
    videos = {} if inputs.labels_only else spread(inputs.media_root, VIDEO)
    for path in (path for path in entries(folder) if path.suffix == ".csv"):
        seen: Counter[str] = Counter()
        for line in read_csv(path, [BEGIN, END, *COMPOUNDS]):
            emotion = _emotion(line)
            row: dict[str, Any] = {
                "id": f"{path.stem}_{emotion.replace(' ', '-')}_{seen[emotion]}",
                "video": videos.get(path.stem, inputs.media_root / f"{path.stem}.mp4"),
                "start_s": _seconds(line, BEGIN),
                "end_s": _seconds(line, END),
                "group": path.stem,
                "labels": {"emotion": emotion.lower()},
            }
            seen[emotion] += 1
            yield Entry(row, path, line.number)


def _emotion(line: Line) -> str:
    marked = [name for name in COMPOUNDS if line.optional(name)]
    if len(marked) != 1 or line.optional(marked[0]) != "1":
        raise DataError(line.where, f"marked: {', '.join(marked) or 'nothing'}", expected="one 1")
    return marked[0]


def _seconds(line: Line, column: str) -> float:
    found = _TIME.fullmatch(line.text(column))
    if found is None:
        raise DataError(line.where, f"{column} {line.text(column)!r}", expected="00:00:02.970")
    hours, minutes, seconds = found.groups()
    return round(int(hours) * 3600 + int(minutes) * 60 + float(seconds), 3)


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
