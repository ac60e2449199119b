"""Answers in OpenAI's form: whole, or as the chunks of a stream."""

from __future__ import annotations

import json
import time
from typing import Any

from affect_mllm.tools.serve.answerer import Asked

DONE = "data: [DONE]\n\n"


class Replies:
    """What a request is replied with; `name` is the model's and `fingerprint` its hash."""

    def __init__(self, asked: Asked, name: str, fingerprint: str) -> None:
        self._asked = asked
        self._usage = asked.settings.usage
        self._common = {
            "id": asked.id,
            "created": int(time.time()),
            "model": name,
            "system_fingerprint": fingerprint,
        }

    def whole(self, row: dict[str, Any]) -> dict[str, Any]:
        """The completion of a prediction row."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": row["response"], "refusal": None},
            "logprobs": None,
            "finish_reason": row["finish_reason"],
        }
        return {
            **self._common,
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(row),
            "affect_mllm": self._own(row),
        }

    def first(self) -> str:
        """The chunk that begins a stream."""
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> str:
        """The chunk of a piece of the answer."""
        return self._chunk({"content": text})

    def last(self, row: dict[str, Any]) -> list[str]:
        """The chunks that end a stream."""
        end = self._chunk({}, row["finish_reason"], affect_mllm=self._own(row))
        usage = [_event({**self._of_chunk, "choices": [], "usage": _usage(row)})]
        return [end, *(usage if self._usage else []), DONE]

    @property
    def _of_chunk(self) -> dict[str, Any]:
        return {**self._common, "object": "chat.completion.chunk"}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        usage = {"usage": None} if self._usage else {}
        return _event({**self._of_chunk, "choices": [choice], **usage, **more})

    def _own(self, row: dict[str, Any]) -> dict[str, Any]:
        """What `predict` says besides the answer."""
        told = {key: row[key] for key in ("modalities", "gate")}
        return {**told, "warnings": self._asked.warnings}


def failed(body: dict[str, Any]) -> str:
    """The end of a stream that cannot go on."""
    return _event(body)


def _usage(row: dict[str, Any]) -> dict[str, int]:
    read, wrote = row["tokens_in"], row["tokens_out"]
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}


def _event(told: dict[str, Any]) -> str:
    return f"data: {json.dumps(told, ensure_ascii=False)}\n\n"
