"""A request's messages as a row, a question about it, and the turns around that question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from affect_mllm.data.template import Segments, Turn
from affect_mllm.tools.serve.body import Message, TextPart
from affect_mllm.tools.serve.bounds import Bounds
from affect_mllm.tools.serve.makers import Around
from affect_mllm.tools.serve.media import Medium, written
from affect_mllm.types import ConfigError, Sample

_SYSTEM = ("system", "developer")
# A video's sound is a medium of its own; where it has none, nothing stands there.
_PLACES = {"image": "<image>", "video": "<video>\n<audio>", "audio": "<audio>"}


@dataclass(frozen=True)
class Talk:
    """The row of a request's media, what is asked about it in their turn, and the other turns."""

    sample: Sample
    question: str
    around: Around


def talk_of(
    messages: Sequence[Message], *, id: str, subtitle: str | None, folder: Path, bounds: Bounds
) -> Talk:
    """The row called `id`, whose media are written to `folder`.

    One picture or video and one sound are a row like `predict`'s; more media are its clips, each
    where it stands among the words. Raises ConfigError for turns that no checkpoint answers,
    ConfigError, DataError and Refusal for media as `media.written` does.
    """
    _check_roles(messages)
    at = _turn_of_media(messages, bounds.parts)
    parts: list[str | Medium] = []
    for number, part in enumerate(messages[at].content, start=1):
        if isinstance(part, TextPart):
            parts.append(part.text)
        else:
            parts.append(written(part, f"{part.type}-{number}", folder, bounds))
    if not "".join(_texts(messages[-1])).strip():
        raise ConfigError(f"messages.{len(messages) - 1}", "no words", expected="a question")
    sample, question = _row(parts, id, subtitle)
    first = 1 if messages[0].role in _SYSTEM else 0
    around = Around(
        "\n".join(_texts(messages[0])) if first else None,
        tuple(map(_turn, messages[first:at])),
        tuple(map(_turn, messages[at + 1 :])),
    )
    return Talk(sample, question, around)


def _check_roles(messages: Sequence[Message]) -> None:
    roles = ["system" if each.role in _SYSTEM else each.role for each in messages]
    asked = roles[1:] if roles[0] == "system" else roles
    if asked != (["user", "assistant"] * len(asked))[: len(asked)] or len(asked) % 2 == 0:
        raise ConfigError(
            "messages",
            f"turns of {', '.join(roles)}",
            expected="a system message or none, then user and assistant in turn, the user last",
        )


def _turn_of_media(messages: Sequence[Message], most: int) -> int:
    """The turn that has all media; without any, the last."""
    counts = [sum(not isinstance(part, TextPart) for part in each.content) for each in messages]
    having = [number for number, count in enumerate(counts) if count]
    if not having:
        return len(messages) - 1
    for number in having:
        if messages[number].role != "user" or number != having[0]:
            where, given = f"messages.{number}", f"media in a turn of the {messages[number].role}"
            others = f", and in messages.{having[0]}" if number != having[0] else ""
            raise ConfigError(where, given + others, expected="all media in one turn of the user")
    if counts[having[0]] > most:
        raise ConfigError(f"messages.{having[0]}", f"{counts[having[0]]} media", expected=f"{most}")
    return having[0]


def _texts(turn: Message) -> list[str]:
    return [part.text for part in turn.content if isinstance(part, TextPart)]


def _turn(message: Message) -> Turn:
    content: Segments = ["\n".join(_texts(message))]
    return Turn("assistant" if message.role == "assistant" else "user", content)


def _row(parts: Sequence[str | Medium], id: str, subtitle: str | None) -> tuple[Sample, str]:
    media = [part for part in parts if isinstance(part, Medium)]
    kinds = [each.kind for each in media]
    words = "\n".join(part for part in parts if isinstance(part, str))
    root = media[0].path.parent if media else Path()
    if not media:
        asked = () if subtitle else ({"role": "user", "content": words},)
        return Sample(id, root, subtitle=subtitle, messages=asked), words
    if len({*kinds}) == len(kinds) and not {"image", "video"} <= {*kinds}:
        row = {each.kind: each.path.name for each in media}
        return Sample(id, root, row, subtitle=subtitle), words
    clips = tuple(
        Sample(f"{id}.{number}", root, {each.kind: each.path.name}, name=str(number))
        for number, each in enumerate(media, start=1)
    )
    placed = "\n".join(part if isinstance(part, str) else _PLACES[part.kind] for part in parts)
    return Sample(id, root, subtitle=subtitle, clips=clips), placed
