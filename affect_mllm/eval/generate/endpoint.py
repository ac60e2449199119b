"""A model behind an OpenAI-compatible server, such as vLLM's."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from affect_mllm.eval.chat import Endpoint, Reply, ReplyError, each
from affect_mllm.eval.generate.other import Drawn, short_name
from affect_mllm.eval.generate.parts import Turn
from affect_mllm.types import DataError


@dataclass(frozen=True)
class EndpointModel:
    """A VLM behind an OpenAI-compatible server (`vllm serve MODEL`): pictures travel as PNG."""

    url: str
    model: str
    key_env: str = "OPENAI_API_KEY"
    workers: int = 8

    sees, hears = True, False

    @property
    def name(self) -> str:
        """The server's name of the model, and a hash of the rest of its identity."""
        return short_name(self.model, self.identity())

    def identity(self) -> dict[str, str]:
        """The server and its name of the model."""
        return {"kind": "endpoint", "model": self.model, "url": self.url.rstrip("/")}

    def generate(
        self, turns: Sequence[Turn], *, system: str, max_new_tokens: int, drawn: Drawn | None = None
    ) -> list[Reply]:
        """Answers at temperature 0, or drawn with a seed for each row, as far as the server heeds
        it; DataError where it gives none.
        """
        server = Endpoint(self.url, self.model, key_env=self.key_env, max_tokens=max_new_tokens)

        def one(asked: tuple[Turn, Endpoint]) -> Reply:
            turn, endpoint = asked
            content = [
                {"type": "text", "text": part}
                if isinstance(part, str)
                else {"type": "image_url", "image_url": {"url": _png(part)}}
                for part in turn.parts
            ]
            messages: list[dict[str, Any]] = [{"role": "system", "content": system}]
            reply = endpoint.reply([*messages, {"role": "user", "content": content}])
            return replace(reply, text=reply.text.strip())

        ways = [server] * len(turns) if drawn is None else _seeded(server, drawn)
        asked = list(zip(turns, ways, strict=True))
        try:
            return each(one, asked, workers=self.workers, title=f"asking {self.name}")
        except ReplyError as error:
            raise DataError(self.url, str(error), fix="start the same command again") from error


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
