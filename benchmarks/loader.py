"""Clips a second of one loader process, against a loader in AffectGPT's manner.

    python benchmarks/loader.py [--quick]

Baseline, written for this comparison after the description of the published loader: at each visit
decord decodes the whole clip, eight frames of it go through PIL and torchvision's transforms, the
sound is decoded whole. Ours seeks to the eight frames; `cached` reads encoder states instead.
Clips are 5 s of 640×360 H.264 with AAC. One process, one thread each. The baseline's sound is
decoded by PyAV, as ours: decord's own sound reader returns wrong samples. Needs the extra `codec`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from measured import Row, report

sys.path.insert(0, str(Path(__file__).parents[1]))
from affect_mllm.data.cache import FeatureCache
from affect_mllm.data.reader import Reader
from affect_mllm.media.audio import read_audio
from affect_mllm.media.image import ImageTransform
from affect_mllm.types import Sample
from tests.media import clips

FRAMES = 8
BASELINE = "AffectGPT's manner"
STATES = {"frame": (32, 1280), "audio": (250, 512)}  # about what the default encoders make of 5 s


def main() -> None:
    """Print one row a loader."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="4 clips twice instead of 16 ten times"
    )
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    count, visits = (4, 2) if quick else (16, 10)
    with tempfile.TemporaryDirectory() as folder:
        rows = _clips(Path(folder), count)
        ways = {
            BASELINE: _published,
            "affect_mllm": _ours(),
            "affect_mllm, cached": _cached(Path(folder) / "cache", rows),
        }
        for way in ways.values():
            way(rows[0])  # what is imported and opened once
        rates = [{name: _rate(way, rows) for name, way in ways.items()} for _ in range(visits)]
    print(f"{count} clips, {visits} visits\n{'loader':22} {'clips/s':>9} {'ratio':>7}")
    found = []
    for name in ways:
        ratios = [each[name] / each[BASELINE] for each in rates]
        found.append(Row.of(f"clips/s, {name}", f"a loader in {BASELINE}", ratios, "higher"))
        print(f"{name:22} {median(each[name] for each in rates):9.1f} {found[-1].ratio:6.1f}×")
    report(found[1:])


def _clips(folder: Path, count: int) -> list[Sample]:
    for number in range(count):
        path = folder / f"{number}.mp4"
        clips.make_video(path, frames=125, size=(640, 360), gop=250, sound_s=5.0)
    return [Sample(str(n), folder, {"video": f"{n}.mp4"}) for n in range(count)]


def _published(sample: Sample) -> object:
    import decord
    from PIL import Image
    from torchvision import transforms

    decord.logging.set_level(decord.logging.QUIET)
    path = str(sample.path("video"))
    video = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    everything = video.get_batch(list(range(len(video)))).asnumpy()
    chosen = np.arange(0, len(everything), len(everything) / FRAMES).astype(int)[:FRAMES]
    change = transforms.Compose(
        [
            transforms.Resize((224, 224), transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    pictures = torch.stack([change(Image.fromarray(everything[i])) for i in chosen])
    return pictures, read_audio(path)


def _ours() -> Callable[[Sample], object]:
    reader = Reader(visual="frame")
    transforms = {"frame": ImageTransform(224), "audio": lambda waveform: waveform}
    return lambda sample: reader.read(sample, transforms).arrays


def _cached(folder: Path, rows: list[Sample]) -> Callable[[Sample], object]:
    cache, rng = FeatureCache(folder, {}), np.random.default_rng(0)
    for row in rows:
        cache.put(row, {name: rng.standard_normal(shape) for name, shape in STATES.items()})
    cache.flush()
    return cache.get


def _rate(way: Callable[[Sample], object], rows: list[Sample]) -> float:
    """Clips a second of one visit to all of them."""
    began = time.perf_counter()
    for row in rows:
        way(row)
    return len(rows) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
