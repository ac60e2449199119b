"""Lengths of 115,000 clips: measured by a process that is killed in the middle and started again.

    python benchmarks/probing.py [--clips N] [--kind video] [--quick]

Every clip is a name of its own: links to 200 different sounds of 0.3 to 1 s, or videos of 1 to 3 s
with sound, 64 × 48 (a name is measured whatever its bytes). `data/lengths.measure` runs as before
the first step of a native omni model, with workers beside it, in a process that is killed when half
of the clips are measured; a second goes on from there, three files are replaced and a third begins,
and a fourth finds everything known. A line a process: clips measured (a measure adds a byte to a
file when it is made), seconds of the processor with those of its workers, and the most memory that
the process itself held. Seconds by the clock are those of a machine that others use, too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from affect_mllm.data import manifest
from affect_mllm.data.faces import Faces
from affect_mllm.data.features import Features
from affect_mllm.data.lengths import measure
from affect_mllm.data.reader import Reader
from affect_mllm.media.content import ContentIndex
from affect_mllm.media.mel import ClipMel
from affect_mllm.media.patches import PatchTransform
from affect_mllm.media.sampling import Sampling
from tests.media import clips

DIFFERENT, CHANGED, WORKERS = 200, 3, 2
READER = Reader(Sampling("fps", fps=2.0, max_frames=64), Faces(), visual="frame")


class Kind(NamedTuple):
    """A key of rows, its files' ending, how many measures a clip takes, and what makes clip N."""

    key: str
    ending: str
    measures: int
    make: Callable[[Path, int], object]


def _video(path: Path, number: int) -> None:
    frames = 25 + number % 51
    clips.make_video(path, frames=frames, size=(64, 48), sound_s=frames / clips.FPS)


def _sound(path: Path, number: int) -> None:
    count = 4800 + 56 * (number % DIFFERENT)
    tone = np.sin(np.arange(count) * (0.05 + number / 2000))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, count, "NONE", ""))
        file.writeframes((tone * 8000).astype("<i2").tobytes())


KINDS = {"audio": Kind("audio", ".wav", 1, _sound), "video": Kind("video", ".mp4", 2, _video)}


def main() -> None:
    """Print a line a process."""
    options = _arguments()
    if options.measured is not None:
        _measured(options.measured)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name)
        kind = KINDS[options.kind]
        rows = write_clips(root, options.clips, kind)
        print(f"{options.clips:,} clips ({options.kind}), {WORKERS} workers")
        print(f"{'':10} {'measured':>9} {'CPU s':>8} {'clips/CPU s':>12} {'MB':>6} {'clock s':>8}")
        _run(root, "killed", kind, until=options.clips // 2)
        _run(root, "goes on", kind)
        for number in range(CHANGED):
            path = root / rows[number * (len(rows) // CHANGED)]
            path.unlink()
            kind.make(path, DIFFERENT + number)
        _run(root, "3 changed", kind)
        _run(root, "all known", kind)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=115_000)
    parser.add_argument("--kind", choices=[*KINDS], default="audio")
    parser.add_argument("--quick", action="store_true", help="2,000 clips")
    parser.add_argument("--folder", type=Path, help="where the clips are written for the time")
    parser.add_argument("--measured", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.clips = 2_000
    return options


def write_clips(root: Path, count: int, kind: Kind) -> list[str]:
    """A manifest of so many clips below `root`; their names."""
    (root / "different").mkdir()
    first = [root / f"different/{number}{kind.ending}" for number in range(min(count, DIFFERENT))]
    for number, path in enumerate(first):
        kind.make(path, number)
    names = [f"clips/{number // 1000}/{number}{kind.ending}" for number in range(count)]
    with (root / "manifest.jsonl").open("w") as file:
        for number, name in enumerate(names):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(first[number % len(first)], path)
            row = {"id": str(number), kind.key: name, "labels": {"emotion": "happy"}}
            file.write(json.dumps(row) + "\n")
    return names


def _run(root: Path, title: str, kind: Kind, until: int | None = None) -> None:
    """A process that measures all clips, killed when `until` of them are measured."""
    before, began = _count(root), time.perf_counter()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, __file__, "--measured", str(root)]
    env = {**os.environ, "AFFECT_CACHE_DIR": str(root / "cache")}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdout=pipe, text=True, start_new_session=True) as run:
        while until is not None and run.poll() is None and _count(root) < until * kind.measures:
            time.sleep(0.2)
        if until is not None:
            os.killpg(run.pid, signal.SIGKILL)
        said = run.communicate()[0]
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = now.ru_utime + now.ru_stime - spent.ru_utime - spent.ru_stime
    measured = (_count(root) - before) // kind.measures
    rate, memory = f"{measured / cpu_s:.0f}", "–"
    if until is None:
        found = json.loads(said.splitlines()[-1])
        memory = f"{found['mb']:.0f}"
        assert found["known"] == found["rows"], "a clip was not measured"
    else:  # workers that were killed with it have told nobody what they spent
        cpu_s, rate = float("nan"), "–"
    clock_s = time.perf_counter() - began
    print(
        f"{title:10} {measured:9,} {cpu_s:8.1f} {rate:>12} {memory:>6} {clock_s:8.0f}", flush=True
    )


def _count(root: Path) -> int:
    """How many measures were made so far."""
    path = root / "made"
    return path.stat().st_size if path.exists() else 0


class _Counted(ContentIndex):
    """Adds a byte to the file `made` beside it for each thing that it did not know."""

    def told(self, name: str, version: str, make: Callable[[], str]) -> str:
        """As ever."""

        def counted() -> str:
            with (self.file.parent / "made").open("ab") as file:
                file.write(b".")
            return make()

        return super().told(name, version, counted)


def _measured(root: Path) -> None:
    """In a process of its own: the lengths of all rows, as a trainer has them measured."""
    transforms: dict[str, Any] = {
        "frame": PatchTransform(pixels=(3136, 200704)),
        "audio": ClipMel(128),
    }
    rows = manifest.read(root / "manifest.jsonl")
    index = _Counted(root / "contents.sqlite")
    found = measure(Features(READER, transforms), rows, index=index, workers=WORKERS)
    known = sum(found.of(sample) is not None for sample in rows)
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": len(rows), "known": known, "mb": mb}))


if __name__ == "__main__":
    main()
