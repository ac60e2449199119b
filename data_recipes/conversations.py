"""LLaVA-style conversations → manifest: `python data_recipes/conversations.py FILE`.

FILE is a JSON list, or JSON lines, of `{"id", "image" | "video" | "audio", "conversations":
[{"from": "human" | "gpt", "value"}]}`, or with `role` (`user`, `assistant`) and `content`, as
Emotion-Qwen's training data have it; a system turn may come first. Placeholders `<image>`,
`<video>`, `<audio>`, `<face>` stay where they are; of several media of a kind (a list of paths)
each has its placeholder, in order. Ids that the file uses again get `#2`, `#3` …: LLaVA's files
ask several things of one image under one id. Formats: haotian-liu/LLaVA
(docs/Finetune_Custom_Data.md); 24DavidHuang/Emotion-Qwen (train/README); AAID, text alone:
lzw108/EmoLLMs@d643d5d, data/data-split.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from commandline import Plan, command
from readers.jsons import need, read_json, read_jsonl
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import ConfigError, DataError

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}
MEDIA = ("image", "video", "audio")
PLACEHOLDER = re.compile(r"<(image|video|audio)>")


def plan(
    file: Annotated[Path, typer.Argument(help="The JSON file of conversations.")],
    licence: Annotated[str, typer.Option(help="Of the data: it goes into every row.")],
    split: Annotated[str, typer.Option(help="Of all rows.")] = "train",
) -> Plan:
    """Make a manifest of LLaVA-style conversations about images, videos or sounds."""
    return of_file("conversations", file, licence, partial(rows, file=file, split=split))


def of_file(what: str, file: Path, licence: str, rows: Callable[..., Iterator[Entry]]) -> Plan:
    """The manifest of a user's own file, whose name it takes."""
    dataset = Dataset(
        name=file.stem,
        title=f"{what} of {file.name}",
        licence=licence,
        access="as its publisher says",
        source=str(file.name),
        counts={},
    )
    return Plan(dataset, rows, file.stem)


def rows(inputs: Inputs, *, file: Path, split: str) -> Iterator[Entry]:
    """A row for each conversation."""
    times: Counter[str] = Counter()
    for at, where, record in records(file, "conversations"):
        id = str(need(where, record, "id", (str, int)))
        times[id] += 1
        media = {kind: _paths(where, record, kind) for kind in MEDIA if record.get(kind)}
        row: dict[str, Any] = {"id": id if times[id] == 1 else f"{id}#{times[id]}", "split": split}
        row |= seen(inputs.media_root, media)
        row["messages"] = messages(where, record, {k: len(paths) for k, paths in media.items()})
        yield Entry(row, file, at)
    if again := sum(count > 1 for count in times.values()):
        inputs.notes.append(f"{again} ids are used several times; the later ones got #2, #3 …")


def records(file: Path, what: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number, place and content of every object; a file that begins with one has lines."""
    if not file.is_file():
        raise ConfigError("FILE", f"{file} is no file", expected=f"a JSON list of {what}")
    for at, where, record in _items(file):
        if not isinstance(record, dict):
            raise DataError(where, f"a {type(record).__name__}", expected="an object")
        yield at, where, record


def _items(file: Path) -> Iterator[tuple[int, str, Any]]:
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        lines = next((line for line in stream if line.strip()), "").lstrip().startswith("{")
    if lines:
        yield from ((at, f"{file}:{at}", record) for at, record in read_jsonl(file))
        return
    for at, record in enumerate(read_json(file, list), start=1):
        yield at, f"{file}[{at - 1}]", record


def messages(where: str, record: dict[str, Any], media: dict[str, int]) -> list[dict[str, str]]:
    """The turns as `{"role", "content"}`; `media` are the numbers of media of each kind.

    DataError unless user and assistant take turns, the user first and the assistant last, and every
    medium of the record has exactly one placeholder.
    """
    turns = [_turn(where, each) for each in need(where, record, "conversations", list)]
    roles = [turn["role"] for turn in turns]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken or len(spoken) % 2 or spoken != ["user", "assistant"] * (len(spoken) // 2):
        raise DataError(where, f"the roles {spoken}", expected="user and assistant in turn")
    used = Counter(kind for turn in turns for kind in PLACEHOLDER.findall(turn["content"]))
    if used != Counter(media):
        raise DataError(
            where, f"placeholders {dict(used)} for the media {media}", expected="one each"
        )
    return turns


def _turn(where: str, turn: Any) -> dict[str, str]:
    if not isinstance(turn, dict):
        raise DataError(where, f"the turn {turn!r}", expected="an object")
    named, spoken = ("from", "value") if "from" in turn else ("role", "content")
    role = need(where, turn, named, str)
    if role not in ROLES:
        raise DataError(where, f"{named} {role!r}", expected=f"one of {', '.join(ROLES)}")
    return {"role": ROLES[role], "content": need(where, turn, spoken, str)}


def _paths(where: str, record: dict[str, Any], kind: str) -> list[str]:
    """The paths of a kind's media: one, a list, or Emotion-Qwen's `{name: path}`."""
    value = record[kind]
    paths = list(value.values()) if isinstance(value, dict) else value
    paths = paths if isinstance(paths, list) else [paths]
    if not all(isinstance(path, str) for path in paths):
        raise DataError(where, f"{kind} {value!r}", expected="a path, or several")
    return paths


def seen(root: Path, media: dict[str, list[str]]) -> dict[str, Any]:
    """The media of a row, or its clips where there are several of a kind."""
    if all(len(paths) == 1 for paths in media.values()):
        return {kind: root / paths[0] for kind, paths in media.items()}
    return {"clips": [{kind: root / path} for kind, paths in media.items() for path in paths]}


APP = command(plan)

if __name__ == "__main__":
    APP()
