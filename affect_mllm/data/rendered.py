"""A chat as the LLM reads it: ids, labels and the places of media, growing from left to right."""

from __future__ import annotations

from bisect import bisect_left
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

    def add(self, ids: Sequence[int], learnt: Sequence[bool] = ()) -> None:
        """Append ids; `learnt` says of each whether it is, empty: none is."""
        self.ids += ids
        flags = learnt or [False] * len(ids)
        self.labels += [i if own else IGNORED for i, own in zip(ids, flags, strict=True)]

    def medium(self, modality: str) -> None:
        """Append the place of a medium."""
        place = self._places[modality]
        self._place(modality, Placeholder(place) if isinstance(place, int) else place)

    def done(self) -> Rendered:
        """What has grown."""
        return Rendered(self.ids, self.labels, self.spans)

    def _place(self, modality: str, place: Placeholder) -> None:
        self.add([*(self._encode(place.words) if place.words else []), *place.before])
        clip = modality.partition(".")[1:]
        name = "".join([place.modality, *clip]) if place.modality else modality
        self.spans.append((name, len(self.ids), place.length))
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

    def learnt(self, offsets: Sequence[tuple[int, int]]) -> list[bool]:
        """Of tokens from and to these characters, whether each has any character that is learnt.

        A token without characters stands where it is put before the next one.
        """
        found = [False] * len(offsets)
        for first, last in self._learnt:
            begin = bisect_left(offsets, first, key=lambda each: max(each[1], each[0] + 1) - 1)
            for number in range(begin, len(offsets)):
                if offsets[number][0] >= last:
                    break
                found[number] = True
        return found


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
