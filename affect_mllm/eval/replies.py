"""Replies of a model that costs something, kept in a file: none is asked for twice.

A reply is found again by the hash of the request that it answers, so that a score can be made
again without the model, and a killed run goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from affect_mllm.eval.chat import Chat, Messages
from affect_mllm.types import DataError


class ReplyFile:
    """Rows `{"key", "reply", …}` of a JSONL file that this process appends to.

    Rows of other processes' files (`beside`) are known, too.
    """

    def __init__(self, path: Path, beside: Iterable[Path] = ()) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._known = {row["key"]: row for each in beside if each != path for row in _rows(each)}
        _mend(path)
        self._known |= {row["key"]: row for row in _rows(path)}

    def get(self, key: str) -> dict[str, Any] | None:
        """The row that is kept."""
        return self._known.get(key)

    def put(self, key: str, reply: str, more: Mapping[str, Any]) -> None:
        """Keep a reply: it is in the file when this returns."""
        row = {"key": key, "reply": reply, **more}
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._known[key] = row


class KeptReplies:
    """A Chat whose replies are kept: asked the same again, it reads them in its file."""

    def __init__(self, chat: Chat, path: Path) -> None:
        self.chat, self.path = chat, path
        self.workers = chat.workers
        self._identity = chat.identity()
        self._file = ReplyFile(path)

    def identity(self) -> dict[str, Any]:
        """Of the model behind."""
        return self._identity

    def ask(self, messages: Messages) -> str:
        """The kept reply, or the model's, which is kept before it is returned."""
        key = request_hash([self._identity, list(messages)])
        if (kept := self._file.get(key)) is not None:
            return kept["reply"]
        text = self.chat.ask(messages)
        self._file.put(key, text, {"messages": list(messages), **self._identity})
        return text


def request_hash(value: Any) -> str:
    """Hash of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _mend(path: Path) -> None:
    """A kill tears the last line; what is appended next must not join it."""
    if path.is_file():
        whole, _, torn = path.read_bytes().rpartition(b"\n")
        if torn:
            path.write_bytes(whole + b"\n" if whole else b"")


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The whole rows of a file, which need not be there. DataError for another line."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not isinstance(row["key"], str) or not isinstance(row["reply"], str):
                raise TypeError("key and reply are texts")
            yield row
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}:{number}", f"not a kept reply ({error})", fix="remove this line"
            ) from error
