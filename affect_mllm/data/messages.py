"""A row's `messages` to turns: `<video> <audio> <image> <face>` become media placeholders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from affect_mllm.data.template import Media, Segments, Turn, joined
from affect_mllm.types import DataError, Sample

PLACEHOLDER = re.compile(r"<(video|audio|image|face)>")
# What a placeholder means, and what it may stand for where the row was read otherwise: face crops
# or whole frames, and frames where no face was found.
MEANS = {"video": "frame", "image": "image", "face": "face", "audio": "audio"}
OTHERWISE = {"video": ("face",), "image": ("frame", "face"), "face": ("frame", "image")}


def turns_of(sample: Sample, modalities: Sequence[str], *, system: str) -> list[Turn]:
    """The turns of the row's messages, with `system` where they bring none of their own.

    A placeholder whose medium is not among `modalities` is left out with the line break after
    it; `multi`, if there, comes after the last medium. Raises DataError naming the row unless
    questions and answers alternate, an answer comes last, and no medium is named twice.
    """
    roles = [message["role"] for message in sample.messages]
    start = 1 if roles[:1] == ["system"] else 0
    pairs = (len(roles) - start) // 2
    if not pairs or roles[start:] != ["user", "assistant"] * pairs:
        raise DataError(
            f"row {sample.id}",
            f"messages of {', '.join(roles) or 'nobody'}",
            expected="user and assistant in turn, the assistant last",
        )
    turns = [Turn("system", [system])] if system and not start else []
    asked = _asked(sample)
    for name in asked:
        if asked.count(name) > 1:
            raise DataError(
                f"row {sample.id}",
                f"its messages ask for <{name}> twice",
                expected="each medium once: a row has one of a kind",
            )
    media = _resolved(asked, modalities)
    for message in sample.messages:
        content = _content(message["content"], media)
        turns.append(Turn(message["role"], content))  # type: ignore[arg-type]
    return _with_multi(turns) if media and "multi" in modalities else turns


def media_of(sample: Sample, modalities: Sequence[str]) -> list[str]:
    """Those of `modalities` that the row's messages ask for, in the order of `modalities`."""
    found = _resolved(_asked(sample), modalities).values()
    return [name for name in modalities if name in found]


def _asked(sample: Sample) -> list[str]:
    return [name for message in sample.messages for name in PLACEHOLDER.findall(message["content"])]


def _resolved(asked: Sequence[str], modalities: Sequence[str]) -> dict[str, str]:
    """Placeholder → modality, for those whose medium is there; no medium serves two."""
    media = {name: MEANS[name] for name in asked if MEANS[name] in modalities}
    for name in asked:
        free = [m for m in OTHERWISE.get(name, ()) if m in modalities and m not in media.values()]
        if name not in media and free:
            media[name] = free[0]
    return media


def _content(text: str, media: Mapping[str, str]) -> Segments:
    parts = PLACEHOLDER.split(text)
    content: Segments = [parts[0]]
    for name, after in zip(parts[1::2], parts[2::2], strict=True):
        if name in media:
            content += [Media(media[name]), after]
        else:
            content.append(after.removeprefix("\n"))
    return joined(content)


def _with_multi(turns: Sequence[Turn]) -> list[Turn]:
    """The same turns with the fused tokens right after the last medium."""
    at = max(i for i, turn in enumerate(turns) if any(isinstance(p, Media) for p in turn.content))
    content = turns[at].content
    place = max(i for i, part in enumerate(content) if isinstance(part, Media)) + 1
    grown = Turn(turns[at].role, [*content[:place], Media("multi"), *content[place:]])
    return [*turns[:at], grown, *turns[at + 1 :]]
