"""Words that speak of what is heard or seen, and the clauses of a text that they stand in."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal, get_args

from affect_mllm.types import modality_of

Sense = Literal["audio", "face"]  # as evaluation's subsets name them; `face` stands for any picture
SENSES: tuple[Sense, ...] = get_args(Sense)
VISUAL = ("face", "frame", "image")

_HEARD = (
    *("voice", "vocal", "vocally", "vocali[sz]ation", "tone", "pitch", "pitched", "intonation"),
    *("prosody", "timbre", "volume", "loud", "louder", "loudly", "loudness", "soft-spoken"),
    *("softly", "monotone", "monotonous", "hoarse", "audio", "audible", "audibly", "sound"),
    *("sounding", "heard", "hear", "hearing", "accent", "tempo", "pause", "pausing", "stutter"),
    *("stuttering", "stammer", "stammering", "whisper", "whispering", "whispered", "mumble"),
    *("mumbling", "murmur", "murmuring", "shout", "shouting", "shouted", "yell", "yelling"),
    *("scream", "screaming", "sigh", "sighing", "sighed", "sob", "sobbing", "laughter"),
    *(r"spee(?:ch|king) (?:rate|speed|pace)", r"speaking (?:rate|speed|pace|style)"),
    r"speaks? (?:\w+ )?(?:slow|fast|quick|soft|quiet|loud|rapid|gent|calm)\w*",
)  # fmt: skip
_SEEN = (
    *("face", "facial", "facially", "smile", "smiling", "smiled", "smirk", "smirking", "grin"),
    *("grinning", "frown", "frowning", "frowned", "scowl", "scowling", "brow", "eyebrow"),
    *("eye", "eyelid", "gaze", "gazing", "glance", "glancing", "stare", "staring", "blink"),
    *("blinking", "mouth", "lip", "cheek", "jaw", "chin", "forehead", "nose", "wrinkle"),
    *("tear", "tearful", "grimace", "grimacing", "pout", "pouting", "nod", "nodding", "gesture"),
    *("gesturing", "posture", "shoulder", "hands", "head", "body language", "visible", "visibly"),
)  # fmt: skip
_CHINESE: dict[Sense, str] = {
    "audio": "声|语气|语调|音调|音量|音色|语速|嗓|哭腔|停顿|叹气|叹息|口吻|听到|听起来",
    "face": "脸|面[部容带色]|表情|神情|微笑|笑容|皱|眉|眼|目光|视线|嘴|唇|额|泪|头|手势|姿态",
}


def _pattern(words: tuple[str, ...], chinese: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words)})(?:s|es|'s)?\b|{chinese}", re.IGNORECASE)


LEXICON: dict[Sense, re.Pattern[str]] = {
    "audio": _pattern(_HEARD, _CHINESE["audio"]),
    "face": _pattern(_SEEN, _CHINESE["face"]),
}
# What ends a clause: marks but for a decimal point, and words that begin another.
_ENDS = re.compile(
    r"[,;:!?\n。，；：！？…]|\.(?!\d)|</?\w+>"
    r"|\b(?:but|while|whereas|although|though|because|yet|however|and (?:the|his|her|their|its))\b",
    re.IGNORECASE,
)
# How a clause begins behind a comma; else it may be one more item of a list.
_BEGINS = re.compile(
    r"\s*(?:(?:and|so|or|then|as|if|since|because|which|who|that|this|there)\b"
    r"|(?:he|she|they|it|we|i|you|the|an?|his|her|their|its|my|one)\b"
    r"|(?:suggest|indicat|imply|convey|express|reflect|reveal|mean|show)ing\b)",
    re.IGNORECASE,
)
# What says that there is nothing to hear or see: no claim about it. "No smile" is one.
_DENIED = re.compile(
    r"\b(?:no|without|lacks?|lacking|any) (?:(?!\w+ing\b)\w+ ){0,2}?(?:audio|sound|voice|vocals?"
    r"|speech|video|pictures?|images?|visuals?|face"
    r"|(?:vocal|visual|facial) (?:cues|information|expressions?))\b"
    r"|\b(?:can ?not|can't|could not|couldn't|unable to|impossible to) (?:\w+ ){0,3}?"
    r"(?:hear|heard|see|seen|tell|judged?|determined?|assess(?:ed)?|described?|observed?|perceived?)\b"
    r"|\b(?:not|isn't|aren't) (?:audible|visible|heard|seen|shown|available|given|present)\b"
    r"|\b(?:inaudible|invisible|unavailable)\b"
    r"|\b(?:audio|sound|soundtrack|video|pictures?|images?|frames?|voice|face) (?:track )?"
    r"(?:is|are|was|were|seems?) (?:\w+ )?(?:muted|missing|absent)(?! \w)"
    r"|没有(?:声音|音频|语音|画面|图像|视频|人脸|面部)|(?:无法|不能)(?:听|看|判断|辨|确定|得知|获)"
    r"|听不|看不[到见清]|静音|黑屏",
    re.IGNORECASE,
)


def sense_of(name: str) -> str:
    """The sense that a modality (or an item of it, as `image.2`) belongs to; text is its own."""
    return "face" if modality_of(name) in VISUAL else modality_of(name)


def clauses(text: str, sense: Sense) -> list[tuple[int, int]]:
    """Where the clauses stand, as character ranges, that say how something sounds or looks.

    A clause that says that it cannot be heard or seen is none of them. English and Chinese, by
    lists of words: what is meant without any of them is not found.
    """
    found = []
    for start, end in pairwise([*_begun(text), len(text)]):
        part = text[start:end]
        if LEXICON[sense].search(part) and not _DENIED.search(part):
            blank = len(part) - len(part.lstrip())
            found.append((start + blank, end - (len(part) - len(part.rstrip()))))
    return found


def _begun(text: str) -> list[int]:
    """Where clauses begin."""
    ends = [*_ENDS.finditer(text)]
    cuts = [m.start() if m[0][0].isalpha() else m.end() for m in ends]
    parts = pairwise([*cuts, len(text)])
    return [0, *(cut for cut, end in parts if not _goes_on(text[:cut], text[cut:end]))]


def _goes_on(before: str, part: str) -> bool:
    """Whether a part is one more item of the clause before it: "her voice is low, flat"."""
    own = any(words.search(part) for words in LEXICON.values())
    return before.endswith(",") and not own and not _BEGINS.match(part)


def speaks_of(text: str, sense: Sense) -> bool:
    """Whether any clause of a text says how something sounds or looks."""
    return bool(clauses(text, sense))
