"""`affect-mllm cues`: what is heard and seen of a clip, measured and said in words.

After the textualised arm of Richet et al. 2024 (arXiv 2407.12927): loudness, pitch, tempo and
pauses of the voice by their thirds over a manifest, and the action units of OpenFace's table by
name. So a language model that hears and sees nothing reads what a clip is like: the baseline of
words alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from affect_mllm.media.prosody import Prosody
    from affect_mllm.types import Sample

KEY = "cues"
Levels = dict[str, tuple[float, float]]
# Each measure's words for its low, middle and high third.
WORDS: dict[str, tuple[str, str, str]] = {
    "loudness_db": ("soft", "of medium loudness", "loud"),
    "pitch_hz": ("low in pitch", "of medium pitch", "high in pitch"),
    "pitch_spread": ("monotonous", "of medium variation", "lively"),
    "rate": ("slow", "of medium speed", "fast"),
    "pauses": ("with few pauses", "with some pauses", "with many pauses"),
}
NO_VOICE, NO_FACE, STILL = "No voice is heard.", "No face is seen.", "The face is still."
PRESENT = 0.3  # share of the frames with a face in which a unit that is named is there
MIN_CONFIDENCE = 0.8


def cues_command(
    manifest: Annotated[Path, typer.Argument(help="The rows.")],
    out: Annotated[Path, typer.Option(help="The manifest with the cues.")],
    into: Annotated[
        str, typer.Option(help="labels: the label `cues`; subtitle: behind what is said.")
    ] = "labels",
    by: Annotated[
        str, typer.Option(help="speaker: against the speaker's own median.", show_default="no one")
    ] = "",
    like: Annotated[
        Path | None,
        typer.Option(help="OUT.cues.json of other rows, whose thirds count for these too."),
    ] = None,
) -> None:
    """Say loudness, pitch, tempo, pauses and facial action units as sentences in a manifest."""
    from affect_mllm.types import ConfigError

    for name, value, known in (("into", into, ("labels", "subtitle")), ("by", by, ("", "speaker"))):
        if value not in known:
            raise ConfigError(f"--{name}", value, expected=" or ".join(filter(None, known)))
    told = cues(manifest, out, into=into, by=by, like=like)  # type: ignore[arg-type]
    for name, (low, high) in told.items():
        typer.echo(f"{name:13} thirds end at {low:.3g} and {high:.3g}")
    typer.echo(out, err=True)


def cues(
    path: Path,
    out: Path,
    *,
    into: Literal["labels", "subtitle"] = "labels",
    by: Literal["", "speaker"] = "",
    like: Path | None = None,
) -> Levels:
    """Write the rows with their cues, and `OUT.cues.json` with the levels, which are returned.

    Levels are thirds of the rows of split `train`, of all where there is none. Raises DataError for
    a row that cannot be read, and for `by` where a row names no speaker.
    """
    from affect_mllm.data import label_file, manifest
    from affect_mllm.data.features import cores_of_rank
    from affect_mllm.eval.chat import each
    from affect_mllm.eval.files import write_json_atomic

    rows = list(manifest.read(path))
    heard = each(_heard, rows, workers=cores_of_rank(), title=KEY)
    measures = _against_own(rows, [asdict(h) if h else {} for h in heard], by)
    levels = _levels(rows, measures) if like is None else _read(like)
    said = [
        " ".join(filter(None, (_of_voice(m, levels, row), _of_face(row))))
        for row, m in zip(rows, measures, strict=True)
    ]
    made = [_with(row, text, into) for row, text in zip(rows, said, strict=True)]
    labels = label_file.read(path) if label_file.sidecar(path).is_file() else None
    manifest.write(made, out, media_root=rows[0].root)  # which may be the same file
    if labels is not None:
        label_file.write(out, labels)
    beside = out.with_name(f"{out.name}.cues.json")
    write_json_atomic(beside, {name: list(ends) for name, ends in levels.items()})
    return levels


def _heard(row: Sample) -> Prosody | None:
    import numpy as np

    from affect_mllm.data.reader import Reader
    from affect_mllm.media.prosody import prosody

    if row.clips or not {"video", "audio"} & set(row.media):
        return None
    found = Reader(visual="frame").read(row, {"audio": lambda waveform: waveform}).arrays
    return prosody(np.asarray(found["audio"])) if "audio" in found else None


def _against_own(
    rows: Sequence[Sample], measures: Sequence[Mapping[str, float | None]], by: str
) -> list[dict[str, float]]:
    """The measures that are there; with `by` less the median of the same speaker's rows."""
    from affect_mllm.types import DataError

    found = [{n: float(v) for n, v in each.items() if v is not None} for each in measures]
    if not by:
        return found
    if nameless := [row.id for row in rows if not row.speaker]:
        raise DataError(f"row {nameless[0]}", "no speaker", expected="one, for --by speaker")
    medians: dict[tuple[str | None, str], float] = {}
    for speaker in {row.speaker for row in rows}:
        own = [m for row, m in zip(rows, found, strict=True) if row.speaker == speaker]
        for name in WORDS:
            values = [m[name] for m in own if name in m]
            medians[speaker, name] = median(values) if values else 0.0
    return [
        {name: value - medians[row.speaker, name] for name, value in m.items()}
        for row, m in zip(rows, found, strict=True)
    ]


def _levels(rows: Sequence[Sample], measures: Sequence[Mapping[str, float]]) -> Levels:
    import numpy as np

    train = [m for row, m in zip(rows, measures, strict=True) if row.split == "train"]
    levels: Levels = {}
    for name in WORDS:
        values = [m[name] for m in train or measures if name in m]
        if values:
            low, high = np.percentile(values, (100 / 3, 200 / 3))
            levels[name] = (float(low), float(high))
    return levels


def _read(path: Path) -> Levels:
    from affect_mllm.types import DataError

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if unknown := sorted(found.keys() - WORDS.keys()):
            raise ValueError(f"it measures {unknown}")
        return {name: (float(low), float(high)) for name, (low, high) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            str(path),
            f"cannot be read: {error}",
            expected="the OUT.cues.json of `affect-mllm cues`",
        ) from error


def _of_voice(measures: Mapping[str, float], levels: Levels, row: Sample) -> str:
    if not {"video", "audio"} & set(row.media):
        return ""
    said = [
        words[(measures[name] > levels[name][0]) + (measures[name] > levels[name][1])]
        for name, words in WORDS.items()
        if name in measures and name in levels
    ]
    return f"The voice is {', '.join(said)}." if said else NO_VOICE


def _of_face(row: Sample) -> str:
    """Of a row whose `faces` are OpenFace's table; else nothing."""
    from affect_mllm.media.openface import read_units

    where = row.media.get("faces", "")
    if not where.endswith(".csv"):
        return ""
    shares = read_units(row.root / where, min_confidence=MIN_CONFIDENCE)
    if shares is None:
        return NO_FACE
    named = [name for name, share in shares.items() if share >= PRESENT]
    return f"The face shows: {', '.join(named)}." if named else STILL


def _with(row: Sample, text: str, into: str) -> Sample:
    if not text:
        return row
    if into == "labels":
        return replace(row, labels={**row.labels, KEY: text})
    return replace(row, subtitle=f"{row.subtitle} ({text})" if row.subtitle else f"({text})")
