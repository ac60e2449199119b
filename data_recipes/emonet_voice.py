"""EmoNet-Voice Bench → manifest: `python data_recipes/emonet_voice.py FOLDER`.

FOLDER has the release's Parquet files, in it or in `data/`: a column `audioId` with the sound
and its name, and `label`, a list as text with one dictionary an expert, {'human-1': {'Shame':
1}}. Every expert of a row rates the same category, 0, 1 or 2; names may be URL-encoded. The
sounds are written to `audio/` below `--media-root`, once. `labels.votes` are the experts'
ratings, `intensity_rating` their mean and `paper_rating` that on the paper's scale of 0 to 10.
Format: readers of laion/EmoNet-Voice-Bench (robflynnyh/SLLM-Understanding@c92050f); the release
itself was not seen.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from commandline import app
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

LEVELS = (0, 1, 2)
SCALE = 5.0  # a rating of 2 is 10 on the paper's scale
DATASET = Dataset(
    name="emonet_voice",
    title="EmoNet-Voice Bench (synthetic voices; 40 emotions and more, rated by experts)",
    licence="CC BY 4.0",
    access="https://huggingface.co/datasets/laion/EmoNet-Voice-Bench",
    source="Schuhmann et al. 2025 (EmoNet-Voice), LAION",
    counts={"total": 12600},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each voice."""
    found = sorted({*inputs.folder.glob("*.parquet"), *inputs.folder.glob("data/*.parquet")})
    if not found:
        raise DataError(str(inputs.folder), "no Parquet files", expected="the release")
    for path in found:
        for at, record in enumerate(_records(path), start=1):
            where = f"{path}:{at}"
            emotion, votes = _votes(where, record.get("label"))
            name = f"{path.stem}-{at:05}"
            labels: dict[str, Any] = {"emotion": emotion, "votes": votes}
            labels["intensity_rating"] = sum(votes.values()) / len(votes)
            labels["paper_rating"] = SCALE * labels["intensity_rating"]
            row = {"id": name, "audio": _unpacked(inputs, where, name, record.get("audioId"))}
            yield Entry({**row, "labels": labels}, path, at)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            missing = {"audioId", "label"} - set(file.schema_arrow.names)
            if missing:
                raise DataError(str(path), f"no column {', '.join(sorted(missing))}")
            for batch in file.iter_batches(batch_size=64):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(str(path), f"cannot be read as Parquet: {error}") from error


def _votes(where: str, text: Any) -> tuple[str, dict[str, int]]:
    """The category, and each expert's rating. Nothing of the text is executed."""
    try:
        experts = ast.literal_eval(text) if isinstance(text, str) else None
    except (ValueError, SyntaxError):
        experts = None
    if not isinstance(experts, list) or not experts:
        raise DataError(where, f"label {text!r}", expected="[{'human-1': {'Shame': 1}}, …]")
    votes: dict[str, int] = {}
    named: set[str] = set()
    for expert in experts:
        pairs = [*expert.items()] if isinstance(expert, dict) else []
        if len(pairs) != 1 or not isinstance(pairs[0][1], dict) or len(pairs[0][1]) != 1:
            raise DataError(where, f"an expert's {expert!r}", expected="one category, one rating")
        ((who, rating),) = pairs
        ((category, level),) = rating.items()
        if level not in LEVELS or who in votes:
            raise DataError(where, f"{who}: {rating}", expected="0, 1 or 2, once an expert")
        votes[who] = level
        named.add(unquote(str(category)))
    if len(named) != 1:
        raise DataError(where, f"categories {sorted(named)}", expected="one of all experts")
    return named.pop(), votes


def _unpacked(inputs: Inputs, where: str, name: str, audio: Any) -> Path:
    """The sound's file, which is written where it is not there yet."""
    given = audio if isinstance(audio, dict) else {}
    data, suffix = given.get("bytes"), Path(str(given.get("path") or "x.wav")).suffix or ".wav"
    path = inputs.media_root / "audio" / f"{name}{suffix}"
    if inputs.labels_only or path.is_file():
        return path
    if not isinstance(data, bytes):
        raise DataError(where, "no sound in audioId", expected="its bytes, as datasets writes them")
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_bytes(data)
    os.replace(temporary, path)
    return path


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
