"""Who and where: the fixed look of an identity and the scene of a clip, and what the muscles do.

The facial cue parameters are action units (AU) of the Facial Action Coding System (Ekman and
Friesen 1978), 0..1; 43 is the drooping upper lid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .design import FaceSpec, rng_of

AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 23, 25, 26, 27, 43)
APEX: dict[str, dict[int, float]] = {
    "happy": {6: 0.9, 12: 1.0, 25: 0.8, 26: 0.15},
    "angry+disgust": {4: 1.0, 7: 0.7, 9: 0.9, 10: 0.9, 15: 0.3, 25: 0.45},
    "fear+surprise": {1: 1.0, 2: 0.95, 5: 1.0, 25: 0.5, 26: 0.8, 27: 0.6},
    "sad": {1: 0.95, 4: 0.55, 15: 1.0, 17: 0.7, 43: 0.75},
    "neutral": {},
}
Colour = tuple[int, int, int]
SKINS = ((247, 216, 190), (232, 190, 158), (214, 165, 126), (178, 124, 88), (133, 88, 60))
HAIRS = ((38, 28, 24), (88, 54, 32), (140, 92, 48), (206, 168, 96), (150, 150, 152), (120, 42, 24))
IRISES = ((78, 52, 34), (64, 104, 150), (70, 120, 80), (92, 92, 100))


@dataclass(frozen=True)
class Look:
    """The fixed look of one identity; lengths in half face widths."""

    skin: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    height: float
    jaw: float
    hair_style: int
    glasses: bool
    beard: bool
    brow_width: float
    lip: float
    nose: float
    eye_gap: float


@dataclass(frozen=True)
class Scene:
    """Where the head is and how it is lit: fractions of the picture, radians, gains."""

    size: float
    place: tuple[float, float]
    roll: float
    yaw: float
    pitch: float
    wall: tuple[Colour, Colour]
    gain: float
    tint: tuple[float, float, float]
    side_light: float


def look_of(identity: int) -> Look:
    """The look of an identity, the same in every corpus."""
    rng = np.random.default_rng([4711, identity])
    return Look(
        skin=_near(rng, SKINS[identity % 5], 10),
        # dark skin comes with the two darkest hair colours: a blond beard on it looked like a mask
        hair=_near(rng, HAIRS[int(rng.integers(6)) % (2 if identity % 5 > 2 else 6)], 12),
        iris=_near(rng, IRISES[int(rng.integers(4))], 10),
        shirt=_near(rng, (110, 110, 120), 90),
        height=float(rng.uniform(1.2, 1.42)),
        jaw=float(rng.uniform(0.62, 0.86)),
        hair_style=int(rng.integers(4)),
        glasses=bool(rng.random() < 0.25),
        beard=bool(rng.random() < 0.2),
        brow_width=float(rng.uniform(0.055, 0.1)),
        lip=float(rng.uniform(0.05, 0.1)),
        nose=float(rng.uniform(0.85, 1.15)),
        eye_gap=float(rng.uniform(0.38, 0.45)),
    )


def scene_of(spec: FaceSpec) -> Scene:
    """The scene of a clip: size, place, head pose, wall and light."""
    rng = rng_of(spec.seed, 1)
    return Scene(
        size=float(rng.uniform(0.24, 0.30)),
        place=(float(rng.uniform(0.43, 0.57)), float(rng.uniform(0.47, 0.54))),
        roll=float(rng.uniform(-0.14, 0.14)),
        yaw=float(rng.uniform(-0.5, 0.5)),
        pitch=float(rng.uniform(-0.3, 0.3)),
        wall=(_near(rng, (130, 135, 140), 80), _near(rng, (130, 135, 140), 80)),
        gain=float(rng.uniform(0.78, 1.12)),
        tint=(float(rng.uniform(0.93, 1.05)), 1.0, float(rng.uniform(0.9, 1.05))),
        side_light=float(rng.uniform(-0.2, 0.2)),
    )


def _near(rng: np.random.Generator, colour: Colour, spread: int) -> Colour:
    red, green, blue = np.clip(np.array(colour) + rng.integers(-spread, spread + 1, 3), 0, 255)
    return int(red), int(green), int(blue)


def apex(spec: FaceSpec) -> dict[int, float]:
    """The cue parameters of a face stream: each action unit at the height of the expression."""
    rng = rng_of(spec.seed, 2)
    aim = APEX[spec.group]
    noise = rng.uniform(size=len(AUS))
    share = 0.5 + 0.5 * spec.strength
    values = {}
    for unit, draw in zip(AUS, noise, strict=True):
        active = aim.get(unit, 0.0)
        value = active * share * (0.85 + 0.3 * draw) if active else 0.1 * draw
        values[unit] = round(float(min(value, 1.0)), 3)
    return values


@dataclass(frozen=True)
class Pose:
    """One moment of a face stream."""

    aus: dict[int, float]
    blink: float
    roll: float
    yaw: float
    pitch: float
    shift: tuple[float, float]


def poses(spec: FaceSpec, times_s: np.ndarray) -> list[Pose]:
    """The face at each time: it ramps to the apex until 0.6 s, then holds, moves and blinks.

    The mouth chatters a little whatever the voice does, so the face says nothing of the voice.
    """
    scene, peak, rng = scene_of(spec), apex(spec), rng_of(spec.seed, 3)
    phases, rates = rng.uniform(0, 2 * np.pi, 6), rng.uniform(0.2, 0.6, 6)
    blinks = (float(rng.uniform(0.9, 1.6)), float(rng.uniform(2.0, 2.9)))
    drawn = []
    for time in times_s:
        rise = 0.15 + 0.85 * _smooth(float(time) / 0.6)
        sway = np.sin(2 * np.pi * rates * time + phases)
        aus = {unit: value * rise * (1 + 0.05 * sway[0]) for unit, value in peak.items()}
        chatter = 0.5 + 0.5 * np.sin(2 * np.pi * 2.3 * time + phases[5])
        aus[25] = min(1.0, aus[25] + 0.12 * chatter)
        drawn.append(
            Pose(
                aus=aus,
                blink=max(_smooth(1 - abs(float(time) - blink) / 0.13) for blink in blinks),
                roll=scene.roll + 0.03 * sway[1],
                yaw=scene.yaw + 0.15 * sway[2],
                pitch=scene.pitch + 0.1 * sway[3],
                shift=(0.012 * sway[4], 0.01 * sway[5]),
            )
        )
    return drawn


def _smooth(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)
