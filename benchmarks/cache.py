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
from itertools import pairwise
from pathlib import Path

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
    for title, unit, pair in (
        ("step", "s", (live[0], kept[0])),
        ("data wait", "%", (100 * live[1], 100 * kept[1])),
        ("outside the LLM", "ms", (1e3 * outside[0], 1e3 * outside[1])),
    ):
        ratio = pair[0] / pair[1] if pair[1] else float("inf")
        print(f"{f'{title} [{unit}]':18} {pair[0]:9.2f} {pair[1]:9.2f} {ratio:6.1f}×")


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


def _steps(folder: Path, overrides: list[str]) -> tuple[float, float]:
    """Median seconds of a step and its share of waiting; the first step is not counted."""
    train([*overrides, f"run_dir={folder}"])
    lines = (folder / "align/metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    seconds = [later["seconds"] - row["seconds"] for row, later in pairwise(rows)]
    return statistics.median(seconds), statistics.median(row["data_wait"] for row in rows[1:])


def _outside(overrides: list[str], path: Path) -> tuple[float, float]:
    """Seconds a clip before the LLM: computed, and looked up."""
    import torch

    cfg = config.checked(config.compose("train", overrides))
    data = config.build(cfg.data)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = ClipEncoder.of_config(cfg.model, device)
    features = data.features(encoder.transforms(), encoder.fingerprint)
    rows = list(manifest.read(path))
    features.compute(rows[0], encoder)
    found = []
    for way in (lambda row: features.compute(row, encoder), features.clip):
        began = time.perf_counter()
        for row in rows:
            way(row)
        found.append((time.perf_counter() - began) / len(rows))
    return found[0], found[1]


if __name__ == "__main__":
    main()
