"""The torchcodec backend, with and without the FFmpeg libraries that it looks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.media import clips

# Run in a process of its own: which libraries torchcodec finds is settled when Python starts.
COMPARE = """
import json, sys
import numpy as np
from affect_mllm.media.audio import read_audio
from affect_mllm.media.video import Sampling, read_frames
from affect_mllm.types import DataError
result = {}
for path in sys.argv[1:]:
    try:
        ours, theirs = (
            read_frames(path, Sampling(frames=8), start_s=0.3, backend=b)
            for b in ("pyav", "torchcodec")
        )
        rate = 48000 if path.endswith("webm") else 44100
        sound = [
            read_audio(path, sample_rate_hz=rate, start_s=0.3, end_s=1.5, backend=b)
            for b in ("pyav", "torchcodec")
        ]
    except DataError as error:
        result[path] = str(error)
        continue
    assert (ours.times_s == theirs.times_s).all()
    frames = np.abs(ours.images.astype(int) - theirs.images).mean()
    result[path] = [float(frames), float(np.abs(sound[0] - sound[1]).max())]
print(json.dumps(result))
"""


def compare(paths: list[Path], library_path: str) -> dict:
    environment = {**os.environ, "LD_LIBRARY_PATH": library_path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_agrees_with_pyav(clip_dir, ffmpeg_of_pyav, tmp_path_factory):
    turned = tmp_path_factory.mktemp("turned") / "turned.mp4"
    clips.rotate_metadata(clips.make_video(turned, sound_s=2.0), clockwise=90)
    paths = [*(clip_dir / f"v{suffix}" for suffix in clips.VIDEO_CODECS), turned]
    for path, difference in compare(paths, ffmpeg_of_pyav).items():
        if path.endswith(".avi"):
            assert "wrong frames for AVI" in difference
            continue
        assert not isinstance(difference, str), difference
        assert difference[0] < 1.0, path
        assert difference[1] < 1e-3, path


def test_says_what_to_install_when_ffmpegs_libraries_are_missing(clip_dir, monkeypatch):
    """Whatever this machine has: torchcodec's own complaint, as it words it, becomes ours."""
    from torchcodec import decoders

    from affect_mllm.media.video import Sampling, read_frames
    from affect_mllm.types import DataError

    def broken(*_, **__):
        raise RuntimeError("Could not load libtorchcodec. Likely causes:\n 1. FFmpeg is not …")

    monkeypatch.setattr(decoders, "VideoDecoder", broken)
    with pytest.raises(DataError, match="torchcodec: cannot be loaded") as caught:
        read_frames(clip_dir / "v.mp4", Sampling(), backend="torchcodec")
    assert "apt install ffmpeg" in caught.value.fix
