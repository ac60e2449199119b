"""`<video> <audio> <image> <face>` in texts about several clips: which clip's medium each means."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

KINDS = ("video", "audio", "image", "face")
NAME = re.compile(r"[\w.-]+")
PLAIN = re.compile(f"<({'|'.join(KINDS)})()>")
NAMED = re.compile(f"<({'|'.join(KINDS)})(?::({NAME.pattern}))?>")
# The media of a row, or of a clip, that can stand where a placeholder does.
SERVED_BY = {
    "video": ("video", "frames", "features"),
    "audio": ("audio", "video", "features"),
    "image": ("image", "features"),
    "face": ("faces", "video", "frames", "image", "features"),
}
Asked = tuple[str, str]  # a placeholder's kind, and the clip that it names ("": none)
Clips = Mapping[str, Collection[str]]  # a clip's name → the kinds of media that it has


def clip_names(clips: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What each clip is called: its name, or its number from 1."""
    return [clip.get("name", str(number)) for number, clip in enumerate(clips, start=1)]


def asked_for(texts: Sequence[str]) -> list[Asked]:
    """The placeholders of texts about clips, in their order."""
    return [(kind, name or "") for text in texts for kind, name in NAMED.findall(text)]


def fault(asked: Sequence[Asked], clips: Clips) -> str:
    """Why placeholders do not fit the clips, as a sentence; "" where they do.

    All of a kind have a clip's name, each once; or none has, and they stand for the clips that
    have the kind, in order. No clip is left without any.
    """
    return next(_faults(asked, clips), "")


def meant(asked: Sequence[Asked], clips: Clips) -> list[int]:
    """The number (from 1) of the clip that each placeholder stands for, where they fit."""
    numbers = {name: number for number, name in enumerate(clips, start=1)}
    waiting = {kind: iter(having(kind, clips)) for kind in KINDS}
    return [numbers[name or next(waiting[kind])] for kind, name in asked]


def having(kind: str, clips: Clips) -> list[str]:
    """The clips that have something for a placeholder of `kind`, in order."""
    return [name for name, kinds in clips.items() if set(SERVED_BY[kind]) & set(kinds)]


def _faults(asked: Sequence[Asked], clips: Clips) -> Iterator[str]:
    for kind in dict.fromkeys(kind for kind, _ in asked):
        names = [name for each, name in asked if each == kind]
        there = having(kind, clips)
        listed = ", ".join(there) or "none"
        if all(names):
            for name in names:
                if name not in there:
                    yield f"<{kind}:{name}> names no clip that has one (clips that do: {listed})"
                if names.count(name) > 1:
                    yield f"<{kind}:{name}> stands there twice"
        elif any(names):
            yield f"<{kind}> stands there with a clip's name and without one: name all, or none"
        elif len(names) != len(there):
            yield f"{len(names)} × <{kind}>; clips that have one: {listed}"
    # Only asked for when all of the above fits.
    used = set(meant(asked, clips))
    for number, name in enumerate(clips, start=1):
        if number not in used:
            yield f"no placeholder for clip {name}"
