"""Media of others that once went wrong: every backend is right or refuses, `validate` judges truly.

The files lie in `media/` of the folder that AFFECT_REFERENCE_DIR names; `compare` prints on
failure what each backend gave.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from affect_mllm.tools.decoding import Job, decode_one
from tests.media.backends import BACKENDS, compare
from tests.media.strictly import strictly

# What each is given as, and how long its sound is (None: it has none, or is refused).
TRUTH: dict[str, tuple[str, float | None]] = {
    "bbb_1ch_8kHz_aac_lc.m4a": ("audio", 3.07),
    "bipbop0.flv": ("video", None),
    "crema_d_lfs_pointer.wav": ("audio", None),
    "hopper_16bit.pgm": ("image", None),
    "iibbibb_editlist_videoonly.mp4": ("video", None),
    "lossless.wma": ("audio", 3.55),
    "nasa_13013.mp4": ("video", 13.056),
    "no-pitm.avif": ("image", None),
    "pattern.ogv": ("video", None),
    "roadtrip-vp92-10bit.webm": ("video", None),
    "sample_dts_hd_ma.mp4": ("audio", 1.0),
    "sample_h264.ts": ("video", None),
    "sample_nb_with_silence_frames.amr": ("audio", 4.36),
    "sample_rotate_and_reflect.mp4": ("video", 1.09),
    "watershed.mp4": ("video", None),
}
REFUSED = {
    "bipbop0.flv": "its sound is damaged",
    "crema_d_lfs_pointer.wav": "git-lfs",
    "no-pitm.avif": "cannot be read as a picture",
}
# What torchcodec decodes as PyAV does, so that a refusal of all would show.
AS_PYAV = {"nasa_13013.mp4", "roadtrip-vp92-10bit.webm", "bipbop0.flv"}
# FFmpeg's own decoder ends at AMR's packets without data, which OpenCORE's, also FFmpeg's, fills.
DECODERS = {"sample_nb_with_silence_frames.amr": "libopencore_amrnb"}
# HEIF asks for a primary item (`pitm`), without which FFmpeg shows the first one.
NO_PRIMARY = "no-pitm.avif"


def folder() -> Path:
    if "AFFECT_REFERENCE_DIR" not in os.environ:
        pytest.skip("AFFECT_REFERENCE_DIR is not set")
    return Path(os.environ["AFFECT_REFERENCE_DIR"]) / "media"


@pytest.fixture(scope="module")
def found(ffmpeg_of_pyav) -> dict[str, dict[str, Any]]:
    return compare(sorted(folder() / name for name in TRUTH), ffmpeg_of_pyav)


def test_every_file_of_the_folder_is_told_of() -> None:
    assert {each.name for each in folder().iterdir()} - {"README.md"} == {*TRUTH}


@pytest.mark.parametrize("name", TRUTH)
def test_frames_are_right_or_refused_by_every_backend(found, name) -> None:
    said = {key: value for key, value in found[name].items() if not key.endswith("sound")}
    if TRUTH[name][0] != "video":
        assert all(value.startswith("refused: ") for value in said.values())
        return
    assert len(said) == 2 * len(BACKENDS)
    for key, value in said.items():
        if key.startswith("pyav") or (key.startswith("torchcodec") and name in AS_PYAV):
            assert value == "right", (key, value)
        else:
            assert value == "right" or value.startswith("refused: "), (key, value)


@pytest.mark.parametrize("name", TRUTH)
def test_sound_is_whole_or_refused_by_every_backend(found, name) -> None:
    wanted = TRUTH[name][1]
    for backend in BACKENDS:
        got = found[name][f"{backend} sound"]
        if isinstance(got, float):
            assert got == pytest.approx(wanted, abs=0.02), backend
        elif wanted is not None:
            assert got.startswith("refused: torchcodec cannot decode it"), (backend, got)
        else:
            assert got == "none" or got.startswith("refused: "), (backend, got)


@pytest.mark.parametrize("name", TRUTH)
def test_validate_judges_as_ffmpeg_does(name) -> None:
    path = folder() / name
    said = decode_one(Job(path.parent, TRUTH[name][0], name))
    assert said is None if name not in REFUSED else REFUSED[name] in str(said)
    if name == NO_PRIMARY:
        assert b"pitm" not in path.read_bytes()
        return
    decoder = DECODERS.get(name)
    assert (strictly(path, decoder) is None) == (said is None)
    if ffmpeg := shutil.which("ffmpeg"):
        chosen = ["-c:a", decoder] if decoder else []
        command = [ffmpeg, "-v", "error", "-xerror", *chosen, "-i", str(path), "-f", "null", "-"]
        done = subprocess.run(command, capture_output=True, check=False)
        assert (done.returncode == 0) == (said is None), done.stderr.decode()


def test_ffmpeg_differs_where_the_lists_say_so() -> None:
    for name in DECODERS:
        assert "Invalid data" in str(strictly(folder() / name))
    assert strictly(folder() / NO_PRIMARY) is None
