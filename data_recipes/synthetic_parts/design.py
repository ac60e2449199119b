"""The design of the synthetic corpus: which classes a modality cannot tell apart, and every clip.

Each modality is a partition of the seven classes into five groups. Within a group a clip's cues
are drawn from one distribution, and the two classes that share a group in two modalities come as
twin clips that share both streams bit for bit, so that no deterministic model can exceed the
ceilings of `oracle.ceilings` on a split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import wording

CLASSES = ("happy", "sad", "angry", "surprise", "fear", "disgust", "neutral")
MODALITIES = ("face", "audio", "text")
MERGED = {
    "face": (("angry", "disgust"), ("fear", "surprise")),
    "audio": (("angry", "disgust"), ("neutral", "sad")),
    "text": (("fear", "surprise"), ("neutral", "sad")),
}
UNITS = (("happy",), ("angry", "disgust"), ("fear", "surprise"), ("sad", "neutral"))
SPLITS = ("train", "val", "test", "conflict")
POOL_OF_SPLIT = {"train": "train", "val": "val", "test": "test", "conflict": "test"}
CONFLICT_PARTS = ("video_aligned", "audio_aligned", "consistent")
IDENTITIES = {"train": range(28), "val": range(28, 34), "test": range(34, 46)}
VOICES = {
    "train": [
        "f1",
        "f3",
        "f5",
        "m1",
        "m3",
        "m5",
        "m7",
        "Alex",
        "Andrea",
        "Annie",
        "Denis",
        "Gene",
        "Hugo",
        "Mario",
        "Mike",
        "adam",
        "anika",
        "belinda",
        "edward",
        "iven",
        "linda",
        "max",
        "paul",
        "quincy",
        "robert",
        "shelby",
        "travis",
        "zac",
    ],
    "val": ["f4", "m4", "Andy", "Jacky", "sandro"],
    "test": ["f2", "m2", "m6", "m8", "Lee", "Henrique", "antonio", "rob", "steph", "victor"],
}
_CONSONANTS = "bdfklmnprstv"
_VOWELS = "aeiou"


@dataclass(frozen=True)
class FaceSpec:
    """One face stream: who (`identity`), which cues (`group`), how strongly, and its seed."""

    identity: int
    group: str
    strength: float
    seed: tuple[int, ...]


@dataclass(frozen=True)
class VoiceSpec:
    """One voice stream: an eSpeak voice, a pseudo-sentence, the prosody's group and strength."""

    voice: str
    words: str
    group: str
    strength: float
    seed: tuple[int, ...]


@dataclass(frozen=True)
class WordingSpec:
    """One subtitle: its text, its group, and the seed of the sentence that describes it."""

    text: str
    group: str
    seed: tuple[int, ...]


@dataclass(frozen=True)
class ClipSpec:
    """Everything that a clip is made from; equal stream specs make bit-identical streams."""

    id: str
    split: str
    group: str
    emotion: str
    face: FaceSpec
    voice: VoiceSpec
    wording: WordingSpec
    conflict: str | None = None
    other: str | None = None


def group_of(modality: str, emotion: str) -> str:
    """The name of the cue group of `emotion` in `modality`: "sad", or "angry+disgust"."""
    for merged in MERGED[modality]:
        if emotion in merged:
            return "+".join(merged)
    return emotion


def groups(modality: str) -> list[str]:
    """The five cue groups of a modality, in the classes' order."""
    return list(dict.fromkeys(group_of(modality, emotion) for emotion in CLASSES))


def rng_of(seed: tuple[int, ...], salt: int = 0) -> np.random.Generator:
    """The generator of a seed path; `salt` separates independent uses of one path."""
    return np.random.default_rng([*seed, salt])


def others(emotion: str, foreign: str) -> list[str]:
    """Classes that `foreign` (a modality) may take its cues from in a conflict clip of `emotion`.

    Their group differs there, and at least one of the two other modalities tells them apart:
    otherwise the clip would be an ordinary clip of the other class.
    """
    kept = [modality for modality in MODALITIES if modality != foreign]
    return [
        other
        for other in CLASSES
        if group_of(foreign, other) != group_of(foreign, emotion)
        and any(group_of(m, other) != group_of(m, emotion) for m in kept)
    ]


def pseudo_words(pool: str, seed: int) -> list[str]:
    """Nonsense words of two or three syllables; no word is in the list of two pools.

    After the pseudo-sentences of affective-speech research (Banse and Scherer 1996): the sound
    carries prosody and no wording.
    """
    rng = np.random.default_rng([seed, 71])
    everything = sorted({_word(rng) for _ in range(400)})
    order = rng.permutation(len(everything))[list(VOICES).index(pool) :: len(VOICES)]
    return [everything[int(i)] for i in order]


def _word(rng: np.random.Generator) -> str:
    pairs = rng.integers((len(_CONSONANTS), len(_VOWELS)), size=(int(rng.integers(2, 4)), 2))
    return "".join(_CONSONANTS[c] + _VOWELS[v] for c, v in pairs)


class _Planner:
    """Hands out identities, voices, sentences and seeds for one split."""

    def __init__(self, split: str, seed: int) -> None:
        self.split, self.seed = split, seed
        self.pool = POOL_OF_SPLIT[split]
        self.code = SPLITS.index(split)
        self.words = pseudo_words(self.pool, seed)
        self.sentences = {group: wording.Deck(group, split, seed=seed) for group in groups("text")}
        self.count = 0

    def unit(self) -> _Unit:
        """What the clips of the next unit share."""
        self.count += 1
        seed = (self.seed, self.code, self.count)
        rng = rng_of(seed)
        identities, voices = IDENTITIES[self.pool], VOICES[self.pool]
        words = ", ".join(
            " ".join(str(word) for word in rng.choice(self.words, 4)) for _ in range(2)
        )
        return _Unit(
            self,
            identity=identities[int(rng.integers(len(identities)))],
            voice=voices[int(rng.integers(len(voices)))],
            words=words,
            strength=round(float(rng.uniform(0.6, 1.0)), 3),
            seed=seed,
        )


@dataclass
class _Unit:
    planner: _Planner
    identity: int
    voice: str
    words: str
    strength: float
    seed: tuple[int, ...]

    def streams(self, face: str, audio: str, text: str) -> _Streams:
        """The three stream specs for the classes that face, voice and wording show."""
        group = group_of("text", text)
        texts = self.__dict__.setdefault("texts", {})
        if group not in texts:
            texts[group] = self.planner.sentences[group].draw()
        return (
            FaceSpec(self.identity, group_of("face", face), self.strength, (*self.seed, 1)),
            VoiceSpec(
                self.voice, self.words, group_of("audio", audio), self.strength, (*self.seed, 2)
            ),
            WordingSpec(texts[group], group, (*self.seed, 3)),
        )


_Streams = tuple[FaceSpec, VoiceSpec, WordingSpec]
_Draft = tuple[str, _Streams, str | None, str | None]


def plan(sizes: dict[str, int], seed: int) -> list[ClipSpec]:
    """All clips of all splits, sorted by split order and id; the same for the same arguments."""
    return [
        clip for split in SPLITS if sizes[split] for clip in _plan_split(split, sizes[split], seed)
    ]


def _plan_split(split: str, size: int, seed: int) -> list[ClipSpec]:
    planner = _Planner(split, seed)
    if split == "conflict":
        units = _conflict_units(planner, size // 21)
    else:
        units = _plain_units(planner, size // 7)
    order = np.random.default_rng([seed, planner.code, 0, 9]).permutation(len(units))
    return _number(split, [units[int(i)] for i in order])


def _plain_units(planner: _Planner, count: int, conflict: str | None = None) -> list[list[_Draft]]:
    units = []
    for classes in UNITS:
        for _ in range(count):
            unit = planner.unit()
            units.append([(c, unit.streams(c, c, c), conflict, None) for c in classes])
    return units


def _conflict_units(planner: _Planner, count: int) -> list[list[_Draft]]:
    """Three equal parts as in CA-MER: video-aligned, audio-aligned, consistent.

    Classes with the same choice of others get them in the same order, so that the two that a
    part cannot tell apart come with the same foreign cues.
    """
    units: list[list[_Draft]] = []
    for part, foreign in (("video_aligned", "audio"), ("audio_aligned", "face")):
        for emotion in CLASSES:
            rng = np.random.default_rng([planner.seed, 88])
            deck = rng.permutation(others(emotion, foreign))
            for index in range(count):
                other = str(deck[index % len(deck)])
                shown = {m: other if m == foreign else emotion for m in MODALITIES}
                streams = planner.unit().streams(shown["face"], shown["audio"], shown["text"])
                units.append([(emotion, streams, part, other)])
    return units + _plain_units(planner, count, "consistent")


def _number(split: str, units: list[list[_Draft]]) -> list[ClipSpec]:
    """Gives ids in order; the ids of twins follow each other and share their `group`."""
    clips: list[ClipSpec] = []
    for unit in units:
        ids = [f"syn-{split}-{len(clips) + i:05d}" for i in range(len(unit))]
        group = ids[0] if len(ids) == 1 else f"{ids[0]}-twins"
        for clip_id, (emotion, (face, voice, words), part, other) in zip(ids, unit, strict=True):
            clips.append(ClipSpec(clip_id, split, group, emotion, face, voice, words, part, other))
    return clips
