"""Which clauses speak of a voice or of what is seen, in English and Chinese."""

from __future__ import annotations

import pytest

from affect_mllm.data.senses import SENSES, clauses, sense_of, speaks_of
from affect_mllm.tools.cues import NO_FACE, NO_VOICE, STILL, WORDS


def parts(text: str, sense) -> list[str]:
    return [text[start:end] for start, end in clauses(text, sense)]


@pytest.mark.parametrize(
    ("text", "heard", "seen"),
    [
        ("He smiles while his voice trembles.", ["while his voice trembles."], ["He smiles"]),
        ("Her brows are raised and her tone is high; she is afraid.",
         ["and her tone is high;"], ["Her brows are raised"]),
        ("She speaks very softly, with long pauses.",
         ["She speaks very softly,", "with long pauses."], []),
        ("The voice is loud, fast and high, so she is angry.",
         ["The voice is loud, fast and high,"], []),
        ("Her voice is low, suggesting grief, and the brows are drawn up.",
         ["Her voice is low,"], ["and the brows are drawn up."]),
        ("Sad: voice trembling, brows raised, quiet.",
         ["voice trembling,"], ["brows raised, quiet."]),
        ("<think>tears in his eyes</think><answer>sad</answer>", [], ["tears in his eyes</think>"]),
        ("她皱着眉头，语速很快，显得生气。", ["语速很快，"], ["她皱着眉头，"]),
        ("There is no smile on the face.", [], ["There is no smile on the face."]),
        ("A rate of 3.5 words, loud.", ["loud."], []),
        ("There is no audio, so the voice cannot be judged.", [], []),
        ("The face is not visible and I am unable to see the eyes.", [], []),
        ("画面没有声音，无法听到语气。", [], []),
        ("On the other hand, she is happy, proud and calm.", [], []),
        ("The words tell of a quarrel; the state of mind is angry, interface aside.", [], []),
        ("She speaks in a muted voice.", ["She speaks in a muted voice."], []),
        ("He speaks without raising his voice.", ["He speaks without raising his voice."], []),
        ("His voice is missing its usual warmth.", ["His voice is missing its usual warmth."], []),
        ("An absent stare.", [], ["An absent stare."]),
        ("The audio is muted, the video is missing.", [], []),
        ("声音里带着无法掩饰的颤抖，他眼中有无法掩饰的悲伤。",
         ["声音里带着无法掩饰的颤抖，"], ["他眼中有无法掩饰的悲伤。"]),
        ("无法判断语气，看不清表情。", [], []),
        ("", [], []),
    ],
)  # fmt: skip
def test_clauses(text: str, heard: list[str], seen: list[str]) -> None:
    assert parts(text, "audio") == heard
    assert parts(text, "face") == seen


def test_the_package_s_own_sentences_about_voice_and_face_are_known() -> None:
    said = f"The voice is {WORDS['pitch_hz'][0]}."
    assert speaks_of(said, "audio")
    assert not speaks_of(said, "face")
    assert speaks_of(STILL, "face")
    assert not any(speaks_of(each, sense) for each in (NO_VOICE, NO_FACE) for sense in SENSES)


def test_any_picture_is_one_sense() -> None:
    assert [sense_of(name) for name in ("face", "frame", "image.2", "audio.1", "text")] == [
        *("face", "face", "face", "audio", "text")
    ]
