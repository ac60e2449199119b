"""A training step with and without the feature cache, and the time outside the LLM.

    python benchmarks/cache.py [--quick]

The demo's model (EfficientNet-Lite0, Whisper-base, SmolLM2-135M) takes steps of its first stage on
clips of 4 s, once with `data.cache_dir=null` and once with a filled cache. `data wait` is the share
of a step in which the LLM had no batch yet. `outside the LLM` is what one clip costs before the
LLM: file to encoder states without the cache, look-up with it. Needs `affect-mllm assets`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from measured import Row, report

sys.path.insert(0, str(Path(__file__).parents[1]))
from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.models.clip_encoder import ClipEncoder
from affect_mllm.train.main import main as train
from affect_mllm.types import Sample
from tests.media import clips

CUES = ("visual_cues", "vocal_cues", "verbal_cues", "description")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="3 steps on 8 clips, not 12 on 48")
    quick = parser.parse_args().quick
    steps, count = (3, 8) if quick else (12, 48)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = _corpus(folder, count)
        given = _overrides(path, steps)
        live = _steps(folder / "live", [*given, "data.cache_dir=null"])
        cached = [*given, f"data.cache_dir={folder / 'features'}"]
        kept = _steps(folder / "cached", cached)
        outside = _outside([*cached, f"run_dir={folder / 'none'}"], path)
    print(f"\n{steps} steps of 8 clips\n{'':18} {'without':>9} {'with':>9} {'ratio':>7}")
    waits = [[100 * wait for wait in each[1]] for each in (live, kept)]
    for title, unit, (without, having) in (
        ("step", "s", (live[0], kept[0])),
        ("data wait", "%", waits),
        ("outside the LLM", "ms", [[1e3 * each for each in found] for found in outside]),
    ):
        first, second = statistics.median(without), statistics.median(having)
        ratio = first / second if second else float("inf")
        print(f"{f'{title} [{unit}]':18} {first:9.2f} {second:9.2f} {ratio:6.1f}×")
    report([_row("time of a step", live[0], kept[0]), _row("time before the LLM", *outside)])


def _row(what: str, without: Sequence[float], having: Sequence[float]) -> Row:
    """The same steps or clips without the cache and with it."""
    ratios = [kept / live for live, kept in zip(without, having, strict=True)]
    return Row.of(f"{what}, states cached", "computed each time", ratios, "lower")


def _corpus(folder: Path, count: int) -> Path:
    rows = []
    for number in range(count):
        name = f"{number}.mp4"
        clips.make_video(folder / name, frames=100, size=(320, 240), sound_s=4.0)
        labels = {"emotion": "happy", "emotions": ["happy"], **dict.fromkeys(CUES, "raised brows")}
        media, text = {"video": name}, "what is said"
        rows.append(Sample(name, folder, media, subtitle=text, split="train", labels=labels))
    manifest.write(rows, folder / "manifest.jsonl")
    return folder / "manifest.jsonl"


def _overrides(path: Path, steps: int) -> list[str]:
    return [
        "experiment=demo",
        "stage=align",
        f"data.manifest={path}",
        "data.reader.visual=frame",
        f"stages.align.steps={steps}",
        "stages.align.batch_size=8",
    ]


def _steps(folder: Path, overrides: list[str]) -> tuple[list[float], list[float]]:
    """Seconds of each step and its share of waiting; the first step is not counted."""
    train([*overrides, f"run_dir={folder}"])
    lines = (folder / "align/metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    seconds = [later["seconds"] - row["seconds"] for row, later in pairwise(rows)]
    return seconds, [row["data_wait"] for row in rows[1:]]


def _outside(overrides: list[str], path: Path) -> list[list[float]]:
    """Seconds of each clip before the LLM: computed, and looked up."""
    import torch

    cfg = config.checked(config.compose("train", overrides))
    data = config.build(cfg.data)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = ClipEncoder.of_config(cfg.model, device)
    features = data.features(encoder.transforms(), encoder.fingerprint)
    rows = list(manifest.read(path))
    features.compute(rows[0], encoder)
    ways = (lambda row: features.compute(row, encoder), features.clip)
    return [[_seconds(way, row) for row in rows] for way in ways]


def _seconds(way: Callable[[Sample], object], row: Sample) -> float:
    began = time.perf_counter()
    way(row)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
