"""A chat as the LLM reads it: ids, labels and the places of media, growing from left to right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from affect_mllm.data.template import Media, Segments, joined
from affect_mllm.types import Placeholder

IGNORED = -100
Places = Mapping[str, int | Placeholder]
Encode = Callable[[str], list[int]]


class Rendered(NamedTuple):
    """Ids and labels `[L]` of a chat, and its media spans (modality, start, length)."""

    input_ids: list[int]
    labels: list[int]
    spans: list[tuple[str, int, int]]


class Builder:
    """Ids, labels and spans that grow; a medium takes what `places` says of its modality."""

    def __init__(self, filler: int, places: Places, encode: Encode) -> None:
        self.ids: list[int] = []
        self.labels: list[int] = []
        self.spans: list[tuple[str, int, int]] = []
        self._filler, self._places, self._encode = filler, places, encode

    def add(self, ids: Sequence[int], *, supervised: int = 0) -> None:
        """Append ids, of which the first `supervised` are learnt."""
        self.ids += ids
        self.labels += [*ids[:supervised], *[IGNORED] * len(ids[supervised:])]

    def medium(self, modality: str) -> None:
        """Append the place of a medium."""
        place = self._places[modality]
        self._place(modality, Placeholder(place) if isinstance(place, int) else place)

    def done(self) -> Rendered:
        """What has grown."""
        return Rendered(self.ids, self.labels, self.spans)

    def _place(self, modality: str, place: Placeholder) -> None:
        self.add([*(self._encode(place.words) if place.words else []), *place.before])
        self.spans.append((modality, len(self.ids), place.length))
        self.add([self._filler if place.filler is None else place.filler] * place.length)
        self.add(place.after)
        for part in place.then:
            self._place(modality, part)


class Draft:
    """The text of a chat before it is cut into tokens: what of it is learnt, and its media."""

    def __init__(self, medium: str) -> None:
        self.text = ""
        self.media: list[str] = []
        self._medium = medium
        self._learnt: list[tuple[int, int]] = []

    def add(self, text: str, *, learnt: bool = False) -> None:
        """Append a text."""
        if learnt and text:
            self._learnt.append((len(self.text), len(self.text) + len(text)))
        self.text += text

    def fill(self, content: Segments, *, learnt: bool) -> None:
        """Append a turn's content, without the spaces at its ends."""
        for part in stripped(content):
            if isinstance(part, Media):
                self.media.append(part.modality)
                self.add(self._medium)
            else:
                self.add(part, learnt=learnt)

    def learns(self, start: int, end: int) -> bool:
        """Whether a token of these characters is learnt: one that has any character of what is.

        A token without characters stands where it is put before the next one.
        """
        return any(start < last and (end > first or start >= first) for first, last in self._learnt)


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """Ids of plain text: what looks like a special token in it stays text."""
    return tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
    ).input_ids


def stripped(content: Segments) -> Segments:
    """The same content without spaces at its ends."""
    parts = joined(content)
    if parts and isinstance(parts[0], str):
        parts[0] = parts[0].lstrip()
    if parts and isinstance(parts[-1], str):
        parts[-1] = parts[-1].rstrip()
    return joined(parts)
