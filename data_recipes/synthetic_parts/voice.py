"""Emotional prosody on a pseudo-sentence: eSpeak NG in a separate process, then NumPy.

eSpeak NG is GPL-3.0-or-later. It is a separate tool here: `espeak_worker.py` is run as a process
of its own and only its samples come back.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.signal import butter, resample_poly, sosfilt

from .design import VoiceSpec, rng_of

SAMPLE_RATE_HZ = 16000
LANGUAGE = "it"  # regular spelling: a nonsense word is read as it is written


@dataclass(frozen=True)
class Prosody:
    """The cue parameters of a voice stream.

    `rate_wpm, pitch, pitch_range` are eSpeak's; `level_db` is the speech's RMS in dBFS, `drive`
    the amount of clipping (0..1), `tremor` the depth of a 7 Hz shake (0..1), `rise_semitones`
    the pitch's climb over each second, `breath` the share of breathy noise (0..1),
    `swing_semitones` how far the pitch dances up and down, `burst` how loud each second starts
    against its end (0..1).
    """

    rate_wpm: float = 170.0
    pitch: float = 45.0
    pitch_range: float = 50.0
    level_db: float = -22.0
    drive: float = 0.0
    tremor: float = 0.0
    rise_semitones: float = 0.0
    breath: float = 0.0
    swing_semitones: float = 0.0
    burst: float = 0.0


PLAIN = Prosody()
TARGETS = {
    "happy": Prosody(220, 70, 90, -18, swing_semitones=4.0),
    "angry+disgust": Prosody(175, 8, 40, -10, drive=1.0),
    "neutral+sad": Prosody(100, 32, 5, -33, breath=0.25),
    "fear": Prosody(250, 80, 25, -31, tremor=1.0, breath=0.15),
    "surprise": Prosody(135, 70, 95, -16, rise_semitones=13.0, burst=0.9),
}
_SPREAD = Prosody(
    7,
    4,
    5,
    1.0,
    drive=0.05,
    tremor=0.05,
    rise_semitones=0.6,
    breath=0.02,
    swing_semitones=0.3,
    burst=0.05,
)


def prosody(spec: VoiceSpec) -> Prosody:
    """The cue parameters of a stream: plain speech moved to its group's target, with a spread.

    Strength 0.6..1 maps to 0.8..1 of the way, so that the groups stay apart.
    """
    rng = rng_of(spec.seed, 1)
    plain, target, spread = asdict(PLAIN), asdict(TARGETS[spec.group]), asdict(_SPREAD)
    share = 0.5 + 0.5 * spec.strength
    values = {}
    for name, value in plain.items():
        noise = float(np.clip(rng.normal(), -2, 2)) * spread[name]
        values[name] = round(value + share * (target[name] - value) + noise, 3)
    for name in ("drive", "tremor", "breath", "burst"):
        values[name] = float(np.clip(values[name], 0.0, 1.0))
    for name in ("pitch", "pitch_range"):
        values[name] = float(np.clip(values[name], 0.0, 99.0))
    return Prosody(**values)


class Speaker:
    """A client of one `espeak_worker.py` process; use it as a context manager."""

    def __init__(self) -> None:
        worker = Path(__file__).with_name("espeak_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, str(worker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the worker."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def say(self, words: str, voice: str, cues: Prosody) -> np.ndarray:
        """float32 [n] at `SAMPLE_RATE_HZ`, not yet shaped; RuntimeError if the worker fails."""
        request = {
            "text": words,
            "voice": f"{LANGUAGE}+{voice}",
            "rate_wpm": round(cues.rate_wpm),
            "pitch": round(cues.pitch),
            "pitch_range": round(cues.pitch_range),
        }
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(request).encode() + b"\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError("the eSpeak NG process ended; is espeakng-loader installed?")
        head = json.loads(line)
        if "error" in head:
            raise RuntimeError(head["error"])
        samples = np.frombuffer(stdout.read(head["samples"] * 2), "<i2").astype(np.float64)
        return resample_poly(samples / 32768.0, 320, 441)


def render(spec: VoiceSpec, speaker: Speaker, *, duration_s: float) -> np.ndarray:
    """The voice stream: float32 [round(duration_s × 16000)], within ±1, loudness kept as a cue."""
    cues = prosody(spec)
    rng = rng_of(spec.seed, 2)
    speech = shape(speaker.say(spec.words, spec.voice, cues), cues, rng)
    total = round(duration_s * SAMPLE_RATE_HZ)
    room_db = float(rng.uniform(-66.0, -58.0))
    out = rng.normal(0.0, 10 ** (room_db / 20), total)
    start = int(rng.uniform(0.05, 0.25) * SAMPLE_RATE_HZ)
    speech = speech[: total - start]
    fade = min(len(speech), SAMPLE_RATE_HZ // 20)
    speech[-fade:] *= np.linspace(1.0, 0.0, fade)
    out[start : start + len(speech)] += speech
    return np.clip(out, -1.0, 1.0).astype(np.float32)


def shape(speech: np.ndarray, cues: Prosody, rng: np.random.Generator) -> np.ndarray:
    """Adds to plain speech what eSpeak cannot do: rise, tremor, harshness, breath, level."""
    seconds = np.arange(len(speech)) / SAMPLE_RATE_HZ
    wave = _warp(speech, cues, seconds)
    seconds = seconds[: len(wave)]
    wave = wave / max(float(np.sqrt(np.mean(wave**2))), 1e-6)
    if cues.drive > 0.05:
        wave = np.tanh(wave * (1 + 6 * cues.drive))
    if cues.breath > 0.02:
        wave = _breathe(wave, cues.breath, rng)
    if cues.tremor > 0.05:
        wave = wave * (1 - 0.7 * cues.tremor * (0.5 + 0.5 * np.sin(2 * np.pi * 7.0 * seconds)))
    if cues.burst > 0.2:
        wave = wave * (1 - 0.9 * cues.burst * (seconds % 1.0))
    wave = wave / max(float(np.sqrt(np.mean(wave**2))), 1e-6)
    return wave * 10 ** (cues.level_db / 20)


def _warp(speech: np.ndarray, cues: Prosody, seconds: np.ndarray) -> np.ndarray:
    """Pitch that climbs each second, shakes with the tremor and swings, by changing the speed."""
    semitones = np.zeros_like(seconds)
    if cues.rise_semitones > 2.0:
        semitones += cues.rise_semitones * (seconds % 1.0) ** 1.5 - 0.3 * cues.rise_semitones
    if cues.tremor > 0.15:
        semitones += 1.5 * cues.tremor * np.sin(2 * np.pi * 7.0 * seconds + 0.7)
    if cues.swing_semitones > 1.0:
        semitones += cues.swing_semitones * np.sin(2 * np.pi * 2.0 * seconds)
    places = np.cumsum(2.0 ** (semitones / 12.0))
    places = places[places < len(speech) - 1]
    return np.interp(places, np.arange(len(speech)), speech)


def _breathe(wave: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Mixes in noise that follows the speech's envelope, and dulls the voice itself."""
    step = SAMPLE_RATE_HZ // 50
    power = np.convolve(wave**2, np.ones(step) / step)[: len(wave)]
    noise = _filter(rng.normal(size=len(wave)), 2, edge_hz=1500, kind="high")
    dulled = _filter(wave, 1, edge_hz=2500, kind="low")
    return (1 - share) * dulled + share * noise * np.sqrt(power.clip(0.0))


def _filter(wave: np.ndarray, order: int, *, edge_hz: int, kind: str) -> np.ndarray:
    """A causal Butterworth filter, `kind` low or high."""
    sections = np.asarray(butter(order, edge_hz, kind, fs=SAMPLE_RATE_HZ, output="sos"))
    return np.asarray(sosfilt(sections, wave))
