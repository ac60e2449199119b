"""A real HTTP server on the loopback that speaks chat completions and says what a test scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Request, its number → status, text. Of CUT half of a reply comes, of SLOW none before the end.
Say = Callable[[dict[str, Any], int], tuple[int, str]]
CUT, SLOW = -1, -2
USAGE = {"prompt_tokens": 100, "completion_tokens": 3}


@dataclass
class Served:
    """Where the server is, and the requests it got with their headers."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


@contextmanager
def served(say: Say, *, finish_reason: str = "stop") -> Iterator[Served]:
    """A server while the block runs; `say` gives the status and the message's content."""
    seen, lock, over = Served(), threading.Lock(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                seen.requests.append(body)
                seen.keys.append(self.headers.get("authorization"))
                number = len(seen.requests)
            status, text = say(body, number)
            message = {"role": "assistant", "content": text}
            choices = [{"message": message, "finish_reason": finish_reason}]
            reply = json.dumps({"choices": choices, "usage": USAGE}).encode()
            if status == SLOW:
                over.wait()
                return
            if status == CUT:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(reply[: len(reply) // 2])
                return
            data = reply if status == 200 else text.encode()
            self.send_response(status if self.path == "/v1/chat/completions" else 404)
            self.send_header("content-length", str(len(data)))
            if status == 429:
                self.send_header("retry-after", "0")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    seen.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield seen
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
