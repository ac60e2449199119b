"""A manifest of a million rows: time to the first batch and memory of a loader worker.

    python benchmarks/manifest.py [--quick] [--rows N]

`first time` checks every row, as for any content that was not seen before; `again` finds that
remembered. Baseline: the same rows as a list of Samples. Rows are cuts of 1,000 (empty) clips, as
of long sources: their media are looked up on disk, not decoded. Each line is a process of its own
with one DataLoader worker; memory is what that worker holds, shared pages counted in full (RSS)
and by share (PSS).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from affect_mllm.data import manifest
from affect_mllm.data.mixture import Mixture, Source

BATCH = 16


def main() -> None:
    """Print one row a way of reading."""
    options = _arguments()
    if options.way:
        print(json.dumps(_measure(options.way, options.path)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = write_manifest(Path(folder), options.rows)
        print(f"{options.rows:,} rows, {path.stat().st_size / 1e6:.0f} MB")
        print(f"{'':12} {'first batch s':>14} {'worker RSS MB':>14} {'worker PSS MB':>14}")
        for way in ("list", "first time", "again"):
            memory = "apart" if way == "list" else "shared"  # else nothing would be a first time
            env = {**os.environ, "AFFECT_CACHE_DIR": f"{folder}/{memory}"}
            command = [sys.executable, __file__, "--way", way, "--path", str(path)]
            done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(f"{way:12} {found['s']:14.1f} {found['rss']:14.0f} {found['pss']:14.0f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="100,000 rows instead of a million")
    parser.add_argument("--rows", type=int, default=None, help="this many rows")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.rows = options.rows or (100_000 if options.quick else 1_000_000)
    return options


def write_manifest(folder: Path, rows: int) -> Path:
    """A manifest of so many cuts of 1,000 empty clips; its path."""
    (folder / "clips").mkdir()
    for number in range(1000):
        (folder / f"clips/{number:03d}.mp4").touch()
    path = folder / "manifest.jsonl"
    with path.open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows_of(rows))
    return path


def rows_of(count: int) -> Iterator[dict[str, Any]]:
    """The rows of such a manifest."""
    for number in range(count):
        start = 2.0 * (number // 1000)
        yield {
            "id": f"clip-{number:07d}",
            "video": f"clips/{number % 1000:03d}.mp4",
            "start_s": start,
            "end_s": start + 1.5,
            "subtitle": f"and then somebody said that this was sentence number {number}",
            "language": "en",
            "group": f"source {number % 1000}",
            "split": "train",
            "labels": {"emotion": ("happy", "sad", "angry")[number % 3], "valence": 0.25},
        }


class _Draws(Dataset[dict[str, float]]):
    """Batches of rows as the training's mixture draws them, and the memory of who reads them."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def __len__(self) -> int:
        return len(self.mixture) // BATCH

    def __getitem__(self, index: int) -> dict[str, float]:
        for place in range(index * BATCH, (index + 1) * BATCH):
            assert self.mixture[place].sample.id
        return _memory()


def _memory() -> dict[str, float]:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return {"rss": sizes["Rss"] / 1e3, "pss": sizes["Pss"] / 1e3}


def _measure(way: str, path: Path) -> dict[str, float]:
    began = time.perf_counter()
    mixture = Mixture([Source(str(path), "train", {"label": 1})], seed=1, places=64 * BATCH)
    if way == "list":
        mixture.rows = [list(manifest.read(path))]  # type: ignore[assignment]
    loader = DataLoader(_Draws(mixture), batch_size=None, num_workers=1, shuffle=False)
    batches = iter(loader)
    next(batches)
    first = time.perf_counter() - began
    *_, last = batches  # after 64 batches the worker holds what it will hold
    return {"s": first, **last}


if __name__ == "__main__":
    main()
