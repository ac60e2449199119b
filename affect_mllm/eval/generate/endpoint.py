"""A model behind an OpenAI-compatible server, such as vLLM's."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from affect_mllm.eval.chat import Endpoint, Reply, ReplyError, each, reach
from affect_mllm.eval.generate.other import Drawn, short_name
from affect_mllm.eval.generate.parts import Film, Part, Sound, Turn
from affect_mllm.eval.replies import ReplyFile, request_hash
from affect_mllm.log import LOGGER

RATE = 16000
_MADE = ("finish_reason", "tokens_in", "tokens_out", "seconds")


@dataclass(frozen=True)
class EndpointModel:
    """A model behind an OpenAI-compatible server (`vllm serve MODEL`).

    Pictures travel as PNG and, where it `hears`, sounds as `input_audio` (wav, 16 kHz), each as a
    part of its own. `body` adds keys to a request, null takes one out of it. A request that is
    refused, or fails `retries` times more, costs that row its answer, and nothing else.
    `url` ends where `/chat/completions` begins, `model` is its name there, and the key is read from
    the environment variable `key_env`. `workers` requests run side by side, each for `timeout_s`
    seconds at most.
    """

    url: str
    model: str
    key_env: str = "OPENAI_API_KEY"
    workers: PositiveInt = 8
    hears: bool = False
    timeout_s: PositiveFloat = 120.0
    retries: NonNegativeInt = 5
    backoff_s: float = 1.0
    body: dict[str, Any] = field(default_factory=dict)
    _replies: ReplyFile | None = field(default=None, repr=False, compare=False)

    sees, films = True, False

    @property
    def name(self) -> str:
        """The server's name of the model, and a hash of the rest of its identity."""
        return short_name(self.model, self.identity())

    def identity(self) -> dict[str, Any]:
        """The server and its name of the model, and what every request has besides."""
        told = {"kind": "endpoint", "model": self.model, "url": self.url.rstrip("/")}
        return told | ({"hears": True} if self.hears else {}) | self._more

    @property
    def _more(self) -> dict[str, Any]:
        return {"body": self.body} if self.body else {}

    def keeping(self, folder: Path, rank: int) -> EndpointModel:
        """The same, which keeps its replies below `folder`: a killed run does not ask again."""
        beside = sorted(folder.glob("replies.*.jsonl"))
        return replace(self, _replies=ReplyFile(folder / f"replies.{rank}.jsonl", beside))

    def generate(
        self, turns: Sequence[Turn], *, system: str, max_new_tokens: int, drawn: Drawn | None = None
    ) -> list[Reply]:
        """Replies at temperature 0, or drawn with a seed for each row, as far as the server heeds
        it. ConfigError where no request can succeed.
        """
        reach(self.url)
        server = Endpoint(
            self.url,
            self.model,
            key_env=self.key_env,
            max_tokens=max_new_tokens,
            timeout_s=self.timeout_s,
            retries=self.retries,
            backoff_s=self.backoff_s,
            body=self.body,
        )
        ways = [server] * len(turns) if drawn is None else _seeded(server, drawn)
        asked = [(messages_of(t, system), way) for t, way in zip(turns, ways, strict=True)]
        return each(self._one, asked, workers=self.workers, title=f"asking {self.name}")

    def _one(self, asked: tuple[list[dict[str, Any]], Endpoint]) -> Reply:
        messages, server = asked
        key = request_hash([self.url.rstrip("/"), server.identity(), messages])
        kept = None if self._replies is None else self._replies.get(key)
        if kept is not None:
            return Reply(kept["reply"], **{name: kept.get(name) for name in _MADE}, kept=True)
        try:
            reply = server.reply(messages)
        except ReplyError as error:
            LOGGER.warning("no reply: %s", error)
            return Reply("", None, error=str(error))
        reply = replace(reply, text=reply.text.strip())
        if self._replies is not None:
            told = {name: value for name, value in asdict(reply).items() if name in _MADE}
            self._replies.put(key, reply.text, told)
        return reply


def messages_of(turn: Turn, system: str) -> list[dict[str, Any]]:
    """A turn as messages of OpenAI's chat: pictures as PNG, sounds as wav, a part each."""
    told: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    return [*told, {"role": "user", "content": [_part(part) for part in turn.parts]}]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, Sound):
        return {"type": "input_audio", "input_audio": {"data": _wav(part), "format": "wav"}}
    assert not isinstance(part, Film), "a server is shown pictures"
    return {"type": "image_url", "image_url": {"url": _png(part)}}


def _seeded(server: Endpoint, drawn: Drawn) -> list[Endpoint]:
    """The server as it is asked for each row."""
    sampling = drawn.repeat.sampling
    how = replace(server, temperature=sampling.temperature, top_p=sampling.top_p)
    return [replace(how, seed=drawn.repeat.seed_of(row)) for row in drawn.rows]


def _png(picture: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _wav(sound: Sound) -> str:
    """16 bits a sample, as every server reads."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(RATE)
        samples = np.clip(np.rint(sound.wave * 32768), -32768, 32767)
        stream.writeframes(samples.astype("<i2").tobytes())
    return base64.b64encode(buffer.getvalue()).decode("ascii")
