"""A row's texts to turns: `<video> <audio> <image> <face>` become media placeholders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from affect_mllm.data import placeholders
from affect_mllm.data.template import Media, Prompt, Segments, Turn, joined
from affect_mllm.types import DataError, Sample, modality_of

# What a placeholder means, and what it may stand for where the row was read otherwise: face crops
# or whole frames, and frames where no face was found.
MEANS = {"video": "frame", "image": "image", "face": "face", "audio": "audio"}
OTHERWISE = {"video": ("face",), "image": ("frame", "face"), "face": ("frame", "image")}


def turns_of(sample: Sample, modalities: Sequence[str], *, system: str) -> list[Turn]:
    """The turns of the row's messages, with `system` where they bring none of their own.

    A placeholder whose medium is not among `modalities` is left out with the line break after
    it; `multi`, if there, comes after the last medium. Raises DataError naming the row unless
    questions and answers alternate, an answer comes last, and no medium is named twice; in a row
    with clips, unless each has its placeholders.
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
    texts = [message["content"] for message in sample.messages]
    asked = _asked(sample, texts)
    for kind, _ in asked:
        if not sample.clips and asked.count(_Asked(kind, 0)) > 1:
            raise DataError(
                f"row {sample.id}",
                f"its messages ask for <{kind}> twice",
                expected="each medium once: several of a kind are `clips`",
            )
    media = _resolved(asked, modalities)
    contents = _contents(texts, asked, media, several=bool(sample.clips))
    for message, content in zip(sample.messages, contents, strict=True):
        turns.append(Turn(message["role"], content))  # type: ignore[arg-type]
    return _with_multi(turns) if media and "multi" in modalities else turns


def user_content(
    prompt: Prompt, sample: Sample, names: Sequence[str], subtitle: str | None, question: str
) -> Segments:
    """The user's turn of a question about a row.

    Of several clips, those media are used that placeholders of the question ask for; of a question
    without any, all of them, clip by clip.
    """
    if not sample.clips:
        return prompt.user(names, subtitle, question)
    asked = _asked(sample, [question])
    if not asked:
        fused = [name for name in names if name == "multi"]
        clips = [(c.name, _of_clip(names, n)) for n, c in enumerate(sample.clips, start=1)]
        return prompt.around([*prompt.of_clips(clips), *prompt.media(fused)], subtitle, [question])
    media = _resolved(asked, names)
    (content,) = _contents([question], asked, media, several=True)
    if media and "multi" in names:
        content = _grown(content)
    return prompt.around([], subtitle, content)


def media_of(sample: Sample, names: Sequence[str], question: str | None = None) -> list[str]:
    """Those of `names` that the row's messages, or a `question` about its clips, ask for.

    In the order of `names`; all of them for a question without placeholders.
    """
    texts = [m["content"] for m in sample.messages] if question is None else [question]
    asked = _asked(sample, texts) if question is None or sample.clips else []
    if question is not None and not asked:
        return list(names)
    found = _resolved(asked, names).values()
    return [name for name in names if name in found]


class _Asked(NamedTuple):
    """A placeholder: its kind, and the number of the clip it is about (0: the row has none)."""

    kind: str
    clip: int


def _asked(sample: Sample, texts: Sequence[str]) -> list[_Asked]:
    """The placeholders of the texts. Raises DataError where they do not fit the row's clips."""
    if not sample.clips:
        return [_Asked(kind, 0) for text in texts for kind, _ in placeholders.PLAIN.findall(text)]
    asked = placeholders.asked_for(texts)
    clips = {c.name: {modality_of(kind) for kind in c.media} for c in sample.clips}
    if asked and (reason := placeholders.fault(asked, clips)):
        raise DataError(
            f"row {sample.id}",
            reason,
            expected="each clip's media asked for once, by name (<image:NAME>) or in order",
        )
    numbers = placeholders.meant(asked, clips)
    return [_Asked(kind, number) for (kind, _), number in zip(asked, numbers, strict=True)]


def _of_clip(names: Sequence[str], number: int) -> list[str]:
    return [name for name in names if name.partition(".")[2] == str(number)]


def _resolved(asked: Sequence[_Asked], names: Sequence[str]) -> dict[_Asked, str]:
    """Placeholder → item, for those whose medium is there; no medium serves two."""
    found: dict[_Asked, str] = {}
    for clip in dict.fromkeys(each.clip for each in asked):
        end = f".{clip}" if clip else ""
        there = [modality_of(name) for name in (_of_clip(names, clip) if clip else names)]
        kinds = [each.kind for each in asked if each.clip == clip]
        for kind, modality in _served(kinds, there).items():
            found[_Asked(kind, clip)] = modality + end
    return found


def _served(asked: Sequence[str], modalities: Sequence[str]) -> dict[str, str]:
    """Placeholder → modality of one clip."""
    media = {name: MEANS[name] for name in asked if MEANS[name] in modalities}
    for name in asked:
        free = [m for m in OTHERWISE.get(name, ()) if m in modalities and m not in media.values()]
        if name not in media and free:
            media[name] = free[0]
    return media


def _contents(
    texts: Sequence[str], asked: Sequence[_Asked], media: Mapping[_Asked, str], *, several: bool
) -> Iterator[Segments]:
    """Each text with its media; `asked` are the placeholders of all of them."""
    coming = iter(asked)
    pattern = placeholders.NAMED if several else placeholders.PLAIN
    for text in texts:
        first, *rest = pattern.split(text)
        content: Segments = [first]
        for after in rest[2::3]:
            each = next(coming)
            if each in media:
                content += [Media(media[each]), after]
            else:
                content.append(after.removeprefix("\n"))
        yield joined(content)


def _with_multi(turns: Sequence[Turn]) -> list[Turn]:
    """The same turns with the fused tokens right after the last medium."""
    at = max(i for i, turn in enumerate(turns) if any(isinstance(p, Media) for p in turn.content))
    grown = Turn(turns[at].role, _grown(turns[at].content))
    return [*turns[:at], grown, *turns[at + 1 :]]


def _grown(content: Segments) -> Segments:
    place = max(i for i, part in enumerate(content) if isinstance(part, Media)) + 1
    return [*content[:place], Media("multi"), *content[place:]]
