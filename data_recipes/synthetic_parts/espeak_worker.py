"""A separate process that speaks one line of text at a time with eSpeak NG (GPL-3.0-or-later).

Run as `python espeak_worker.py`, never imported: libespeak-ng is loaded through ctypes in this
process only, so that nothing else of the project is linked with it.

Protocol: one JSON object a line on stdin (`text, voice, rate_wpm, pitch, pitch_range`, the last
two 0..99); on stdout one JSON line (`samples, sample_rate_hz` or `error`) followed by that many
little-endian int16 samples. Every utterance is spoken by a fork of the freshly initialised
library, since eSpeak's noise and flutter carry over from one utterance to the next: a clip's
sound does not depend on what was spoken before it.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

AUDIO_OUTPUT_SYNCHRONOUS = 2
PARAMETER = {"rate_wpm": 1, "volume": 2, "pitch": 3, "pitch_range": 4}
CHARS_UTF8 = 1
CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
_chunks: list[bytes] = []


@CALLBACK
def _collect(wave: ctypes.Array[ctypes.c_short], count: int, _events: int | None) -> int:
    if wave and count > 0:
        _chunks.append(ctypes.string_at(wave, count * 2))
    return 0


def load() -> tuple[ctypes.CDLL, int]:
    """The library, initialised to hand samples to `_collect`, and its sample rate in Hz."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = os.path.dirname(espeakng_loader.get_data_path())
    rate_hz = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data.encode(), 0)
    if rate_hz <= 0:
        raise RuntimeError(f"espeak_Initialize found no usable data in {data}")
    library.espeak_SetSynthCallback(_collect)
    return library, rate_hz


def speak(library: ctypes.CDLL, request: dict[str, str | int]) -> bytes:
    """The samples of one utterance, int16; ValueError if the voice is unknown."""
    voice = str(request["voice"])
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"eSpeak NG has no voice {voice!r}")
    for name in ("rate_wpm", "pitch", "pitch_range"):
        library.espeak_SetParameter(PARAMETER[name], int(request[name]), 0)
    text = str(request["text"]).encode() + b"\0"
    library.espeak_Synth(text, len(text), 0, 0, 0, CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    return b"".join(_chunks)


def _answer(library: ctypes.CDLL, rate_hz: int, line: bytes) -> None:
    """Writes the answer to one request; runs in the fork."""
    try:
        samples = speak(library, json.loads(line))
        head = {"samples": len(samples) // 2, "sample_rate_hz": rate_hz}
    except (ValueError, KeyError) as error:
        samples, head = b"", {"error": str(error)}
    with os.fdopen(os.dup(1), "wb") as out:
        out.write(json.dumps(head).encode() + b"\n" + samples)


def main() -> None:
    """Answers requests until stdin ends."""
    library, rate_hz = load()
    while line := sys.stdin.buffer.readline():
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _answer(library, rate_hz, line)
                code = 0
            finally:
                os._exit(code)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
