"""A server in a process of its own, or in a thread with parts that a test holds in its hands."""

from __future__ import annotations

import base64
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import uvicorn

from affect_mllm.tools.serve.app import make_app
from affect_mllm.tools.serve.server import bound, url_of
from affect_mllm.tools.serve.service import Service
from tests.processes import DEADLINE_S, GLANCE_S, started

NAME = "tiny"


class Served(NamedTuple):
    """Where it is, and its process."""

    url: str
    process: subprocess.Popen[str]


@contextmanager
def served(checkpoint: Path, *options: str, **env: str) -> Iterator[Served]:
    """`affect-mllm serve` on a free port of the loopback."""
    words = ["serve", str(checkpoint), "--port", "0", "--name", NAME, *options]
    with started(["-m", "affect_mllm.tools.app", *words], **env) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"serving .* at (http://\S+)", line):
                yield Served(found[1], process)
                return
        raise AssertionError(f"it ended with {process.wait()}")


@contextmanager
def live(service: Service, key: str | None = None) -> Iterator[str]:
    """The URL of a server in a thread of this process."""
    made = bound("127.0.0.1", 0)
    app = make_app(service, key, made.getsockname()[0])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [made]})
    thread.start()
    url = url_of(made)
    try:
        until(lambda: server.started)
        yield url
    finally:
        server.should_exit = True
        thread.join()
        service.close()


def until(happened: Any) -> None:
    """Return as soon as it has; fail at the deadline."""
    end = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(GLANCE_S)


def here(url: str) -> int:
    """How many requests the server has at hand."""
    return int(httpx.get(url.removesuffix("v1") + "health").json()["requests"])


def data_url(path: Path, kind: str) -> str:
    """The file as a URL that holds it."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def part(path: Path) -> dict[str, Any]:
    """A file as a part of a message: a clip, a picture or a sound."""
    if path.suffix == ".mp4":
        return {"type": "video_url", "video_url": {"url": data_url(path, "video/mp4")}}
    if path.suffix == ".wav":
        data = base64.b64encode(path.read_bytes()).decode()
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    return {"type": "image_url", "image_url": {"url": data_url(path, "image/png")}}


def said(*parts: dict[str, Any] | str, role: str = "user") -> dict[str, Any]:
    """A message of media and texts."""
    content = [{"type": "text", "text": each} if isinstance(each, str) else each for each in parts]
    return {"role": role, "content": content}


def request(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A whole request."""
    return {"model": NAME, "messages": list(messages), "max_tokens": 8, **more}


def asked(url: str, body: Any) -> httpx.Response:
    """The reply to it."""
    return httpx.post(f"{url}/chat/completions", json=body, timeout=DEADLINE_S)


def text_of(reply: httpx.Response) -> str:
    """The answer in it."""
    assert reply.status_code == 200, reply.text
    return reply.json()["choices"][0]["message"]["content"]
