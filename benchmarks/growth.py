"""How cost grows: manifest, validate and mixture from 1,000 clips to 100,000; 8 to 64 frames.

    python benchmarks/growth.py [--quick]

Each ratio is the cost of one clip (or frame) among many to that of one among few, both measured in
the same round: 1 says that cost grows as their number does. CPU time, that of workers included.
Clips are the rows of `benchmarks/manifest.py`, whose media are empty files; every measurement has a
folder of its own, so that nothing is remembered.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from manifest import write_manifest
from measured import Row, report

sys.path.insert(0, str(Path(__file__).parents[1]))
from affect_mllm.data.mixture import Mixture, Source
from affect_mllm.media.image import ImageTransform
from affect_mllm.media.sampling import Sampling
from affect_mllm.media.video import read_frames
from affect_mllm.tools.manifest import Layout, convert
from affect_mllm.tools.splits import Fractions
from affect_mllm.tools.validation import validate
from tests.media import clips

FEW, MANY, DRAWN = 1_000, 100_000, 1_000
FRAMES = (8, 64)
CLIPS = 10  # each read once
Work = Callable[[], object]


def main(quick: Annotated[bool, typer.Option(help="10,000 clips, one round.")] = False) -> None:
    """Print one row a kind of work."""
    many, rounds = (10_000, 1) if quick else (MANY, 3)
    rows = []
    for title, prepared in WORK.items():
        _cost(prepared, FEW)  # imports
        ratios = [_cost(prepared, many) / _cost(prepared, FEW) for _ in range(rounds)]
        rows.append(Row.of(f"{title}: a clip of {many:,}", f"a clip of {FEW:,}", ratios, "lower"))
    few, more = FRAMES
    ratios = [*_frames(rounds)]
    rows.append(Row.of(f"reading a frame of {more}", f"a frame of {few}", ratios, "lower"))
    for row in rows:
        print(f"{row.what:40} {row.ratio:6.2f} × {row.against}  {row.low:.2f} to {row.high:.2f}")
    report(rows)


def _cost(prepared: Callable[[Path], Work], count: int) -> float:
    """CPU seconds a clip; of few clips the mean of several times, since one takes milliseconds."""
    times = 5 if count == FEW else 1
    spent = 0.0
    for _ in range(times):
        with _elsewhere(count) as path:
            spent += cpu_s(prepared(path))
    return spent / times / count


@contextmanager
def _elsewhere(count: int) -> Iterator[Path]:
    """A manifest of so many rows, and an empty cache for what is remembered of it."""
    before = os.environ.get("AFFECT_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AFFECT_CACHE_DIR"] = f"{folder}/cache"
        try:
            yield write_manifest(Path(folder), count)
        finally:
            os.environ.pop("AFFECT_CACHE_DIR")
            if before is not None:
                os.environ["AFFECT_CACHE_DIR"] = before


def cpu_s(work: Work) -> float:
    """Seconds of the processor, of this process and of those it started and waited for."""
    began = sum(os.times()[:4])
    work()
    return sum(os.times()[:4]) - began


def _from_csv(path: Path) -> Work:
    """What `affect-mllm manifest` does, but for writing its rows."""
    table = path.with_suffix(".csv")
    with path.open() as file, table.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "video", "subtitle", "emotion", "group"])
        for row in map(json.loads, file):
            video, emotion = Path(row["video"]).name, row["labels"]["emotion"]
            writer.writerow([row["id"], video, row["subtitle"], emotion, row["group"]])
    layout = Layout(path.parent / "clips", path.parent / "made.jsonl")
    return lambda: convert(table, layout, fractions=Fractions())


def _validated(path: Path) -> Work:
    return lambda: validate(path)


def _mixed(path: Path) -> Work:
    """Read for training, and the first rows drawn."""

    def work() -> None:
        mixture = Mixture([Source(str(path), "train", {"label": 1})], seed=1, places=DRAWN)
        for place in range(DRAWN):
            assert mixture[place].sample.id

    return work


WORK: dict[str, Callable[[Path], Work]] = {
    "`manifest` of a CSV": _from_csv,
    "`validate`": _validated,
    f"mixture with {DRAWN:,} draws": _mixed,
}


def _frames(rounds: int) -> Iterator[float]:
    """The price of a frame, decoded and resized, of the larger number to that of the smaller."""
    change = ImageTransform(224)
    with tempfile.TemporaryDirectory() as name:
        path = clips.make_video(Path(name) / "clip.mp4", frames=250, size=(640, 360), gop=50)

        def price(frames: int) -> float:
            sampling = Sampling(frames=frames)
            spent = cpu_s(
                lambda: [change(read_frames(path, sampling).images) for _ in range(CLIPS)]
            )
            return spent / CLIPS / frames

        price(FRAMES[0])
        for _ in range(rounds):
            yield price(FRAMES[1]) / price(FRAMES[0])


if __name__ == "__main__":
    typer.run(main)
