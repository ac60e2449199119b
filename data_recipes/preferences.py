"""Preference rows → manifest: `python data_recipes/preferences.py FILE --licence NAME`.

FILE is a JSON list, or JSON lines. A row is in one of two forms. ms-swift's (modelscope/ms-swift@
3602360, docs/source_en/Customization/Custom-dataset.md): `messages` of `{"role", "content"}`, the
last of which is the preferred answer, `rejected_response` (or `rejected_messages`, of which the
last turn is taken), and `images`, `videos`, `audios`. AVERE's (ihp-lab/AVERE@82c1c8d): `prompt`,
`chosen`, `rejected`, and `video`, `audio`. Placeholders that a question lacks are put in front of
it, as ms-swift does. Media of the rejected side (`rejected_images`, `video_l` …) make another kind
of pair: such rows are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import conversations
import typer
from commandline import Plan, command
from readers.jsons import need
from readers.pairs import longer_wins
from recipe import Entry, Inputs

from affect_mllm.types import DataError


def plan(
    file: Annotated[Path, typer.Argument(help="The JSON file of preferences.")],
    licence: Annotated[str, typer.Option(help="Of the data: it goes into every row.")],
    split: Annotated[str, typer.Option(help="Of all rows.")] = "train",
) -> Plan:
    """Make a manifest of preferred and rejected answers about images, videos or sounds."""
    made = partial(rows, file=file, split=split)
    return conversations.of_file("preferences", file, licence, made)


def rows(inputs: Inputs, *, file: Path, split: str) -> Iterator[Entry]:
    """A row for each pair."""
    pairs: list[tuple[str, str]] = []
    for at, where, record in conversations.records(file, "preferences"):
        media = {kind: _paths(where, record, kind) for kind in conversations.MEDIA}
        media = {kind: paths for kind, paths in media.items() if paths}
        turns, rejected = _said(where, record)
        turns = _placed(turns, media)
        told = {"conversations": turns}
        row: dict[str, Any] = {"id": str(record.get("id", at)), "split": split}
        row |= conversations.seen(inputs.media_root, media)
        row["messages"] = conversations.messages(
            where, told, {kind: len(paths) for kind, paths in media.items()}
        )
        row["labels"] = {"rejected": rejected}
        pairs.append((turns[-1]["content"], rejected))
        yield Entry(row, file, at)
    inputs.notes += longer_wins(pairs)


def _said(where: str, record: dict[str, Any]) -> tuple[list[dict[str, str]], str]:
    """The turns with the preferred answer, and the other answer."""
    other = [
        key for key in record if key.startswith("rejected_") and key[9:-1] in conversations.MEDIA
    ]
    other += [key for key in ("video_l", "audio_l") if record.get(key)]
    if other:
        raise DataError(
            where, f"media of the rejected side: {', '.join(other)}", expected="two answers alone"
        )
    if "messages" not in record:
        prompt, chosen = (need(where, record, key, str) for key in ("prompt", "chosen"))
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": chosen}]
        return turns, need(where, record, "rejected", str)
    turns = [dict(turn) for turn in need(where, record, "messages", list)]
    if "rejected_messages" in record:
        last = need(where, record, "rejected_messages", list)[-1]
        return turns, need(where, last, "content", str)
    return turns, need(where, record, "rejected_response", str)


def _paths(where: str, record: dict[str, Any], kind: str) -> list[str]:
    value = record.get(f"{kind}s", record.get(kind)) or []
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise DataError(where, f"{kind} {value!r}", expected="a path, or several")
    return paths


def _placed(turns: list[dict[str, str]], media: dict[str, list[str]]) -> list[dict[str, str]]:
    """The turns, with the placeholders that are lacking in front of the first question."""
    said = "".join(turn.get("content", "") for turn in turns)
    lacking = [f"<{k}>" * max(0, len(paths) - said.count(f"<{k}>")) for k, paths in media.items()]
    first = next((turn for turn in turns if turn.get("role") == "user"), None)
    if first is not None and any(lacking):
        first["content"] = "".join(lacking) + "\n" + first["content"]
    return turns


APP = command(plan)

if __name__ == "__main__":
    APP()
