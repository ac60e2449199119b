"""The words about a clip: its labels, and sentences read off its cue parameters.

A cue sentence is made from the stream's own parameters and seed, so twins that share a stream
share its sentence, and none names an emotion. Only the description's last sentence does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .design import ClipSpec, FaceSpec, VoiceSpec, WordingSpec, rng_of
from .looks import apex
from .voice import PLAIN, Prosody, prosody

AFFECT = {  # valence, arousal at full intensity; open-vocabulary words
    "happy": (0.9, 0.6, ("joyful", "delighted", "cheerful", "excited")),
    "sad": (-0.8, -0.5, ("sorrowful", "lonely", "downcast", "gloomy")),
    "angry": (-0.7, 0.8, ("furious", "irritated", "indignant", "resentful")),
    "surprise": (0.1, 0.8, ("astonished", "amazed", "startled", "stunned")),
    "fear": (-0.8, 0.7, ("frightened", "anxious", "terrified", "nervous")),
    "disgust": (-0.8, 0.3, ("revolted", "repelled", "nauseated", "averse")),
    "neutral": (0.0, 0.0, ("calm", "indifferent", "composed", "matter-of-fact")),
}
VERBAL = {
    "happy": (
        "The words tell good news and celebrate it.",
        "The words share delightful news with thanks.",
        "The speaker reports something wonderful.",
    ),
    "angry": (
        "The words blame someone for a wrong.",
        "The speaker accuses another person of an offence.",
        "The words protest against being treated unfairly.",
    ),
    "disgust": (
        "The words describe something rotten and foul.",
        "The speaker talks of filth and a bad smell.",
        "The words reject something spoiled and slimy.",
    ),
    "fear+surprise": (
        "The words react to a sudden, unexpected event.",
        "The speaker asks what has just happened without warning.",
        "The words point at something that appeared suddenly.",
    ),
    "neutral+sad": (
        "The words describe a quiet, ordinary day alone.",
        "The speaker mentions plain routine at home.",
        "The words are a quiet remark about an empty day.",
    ),
}
FACE_FRAMES = (
    "The face shows {0} and {1}.",
    "The face has {0} and {1}.",
    "On the face one sees {0} and {1}.",
)
STILL = (
    "The face is relaxed and hardly moves.",
    "The face is smooth and at rest.",
    "The face shows no visible muscle action.",
)
VOICE_FRAMES = (
    "The voice is {0}, {1} and {2}.",
    "The speech sounds {0}, {1} and {2}.",
    "The voice sounds {0}, {1} and {2}.",
)
ENDINGS = (
    "Together they point to the emotion {0}.",
    "Together these cues mean that the emotion is {0}.",
    "Taken together, the emotion is {0}.",
)


def visual_cues(spec: FaceSpec) -> str:
    """One sentence on the action units of a face stream."""
    return _visual(apex(spec), rng_of(spec.seed, 7))


def _visual(aus: dict[int, float], rng: np.random.Generator) -> str:
    seen = {
        "raised eyebrows": min(aus[1], aus[2]),
        "inner brows drawn up": min(aus[1], 1.5 * aus[4]) - aus[2],
        "lowered brows": aus[4] - aus[1],
        "wide open eyes": aus[5],
        "raised cheeks": aus[6],
        "a wrinkled nose": aus[9],
        "a raised upper lip": aus[10],
        "lip corners pulled up": aus[12],
        "lip corners pulled down": aus[15] - aus[9],
        "a dropped jaw": aus[26],
        "smiling parted lips": min(aus[12], aus[25]) - 0.1,
        "drooping eyelids": aus[43],
    }
    strong = sorted((p for p in seen if seen[p] > 0.3), key=lambda p: -seen[p])[:3]
    if len(strong) < 2:
        return str(rng.choice(STILL))
    first, second = rng.permutation(len(strong))[:2]
    return str(rng.choice(FACE_FRAMES)).format(strong[int(first)], strong[int(second)])


def vocal_cues(spec: VoiceSpec) -> str:
    """One sentence on the prosody of a voice stream."""
    return _vocal(prosody(spec), rng_of(spec.seed, 7))


def _vocal(cues: Prosody, rng: np.random.Generator) -> str:
    """The three qualities that differ most from plain speech, each against a clear difference."""
    faster, louder = cues.rate_wpm - PLAIN.rate_wpm, cues.level_db - PLAIN.level_db
    higher, wider = cues.pitch - PLAIN.pitch, cues.pitch_range - PLAIN.pitch_range
    said = {
        "trembling": cues.tremor / 0.25,
        "harsh": cues.drive / 0.25,
        "sharply rising": cues.rise_semitones / 3.0,
        "flat": -wider / 20.0,
        "lively": wider / 20.0 + cues.swing_semitones,
        "loud": louder / 4.0,
        "quiet": -louder / 4.0,
        "fast": faster / 25.0,
        "slow": -faster / 25.0,
        "high": higher / 12.0,
        "low": -higher / 12.0,
    }
    words = sorted(said, key=lambda word: -said[word])[:3]
    first, second, third = (words[int(i)] for i in rng.permutation(3))
    return str(rng.choice(VOICE_FRAMES)).format(first, second, third)


def verbal_cues(spec: WordingSpec) -> str:
    """One sentence on what a subtitle's wording does."""
    return str(rng_of(spec.seed, 7).choice(VERBAL[spec.group]))


def labels(clip: ClipSpec) -> dict[str, Any]:
    """The `labels` of a manifest row; a neutral clip has an intensity near 0."""
    strength = clip.face.strength
    valence, arousal, words = AFFECT[clip.emotion]
    rng = rng_of((*clip.face.seed, *clip.emotion.encode()), 8)
    picked = rng.permutation(len(words))[: int(rng.integers(1, 4))]
    cues = visual_cues(clip.face), vocal_cues(clip.voice), verbal_cues(clip.wording)
    found: dict[str, Any] = {
        "emotion": clip.emotion,
        "emotions": [clip.emotion, *(words[int(i)] for i in picked)],
        "intensity": round(0.1 * strength if clip.emotion == "neutral" else strength, 3),
        "valence": round(valence * strength, 3),
        "arousal": round(arousal * strength, 3),
        "visual_cues": cues[0],
        "vocal_cues": cues[1],
        "verbal_cues": cues[2],
        "description": " ".join([*cues, str(rng.choice(ENDINGS)).format(clip.emotion)]),
    }
    if clip.conflict is not None:
        found |= {"conflict": clip.conflict, "conflict_other": clip.other}
    return found
