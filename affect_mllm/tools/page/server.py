"""Serving the page: one address, one temporary folder, and nothing asked of other machines."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affect_mllm.types import ConfigError

if TYPE_CHECKING:
    from affect_mllm.tools.page.sessions import Sessions

LOOPBACK = ("127.0.0.1", "localhost")
# Enforced by the browser: whatever Gradio's own code may want, nothing comes from elsewhere.
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; frame-ancestors 'none'; "
    "form-action 'self'; base-uri 'self'"
)


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for uploads that only this process has, gone with it; Gradio is told of it.

    Gradio must be imported within: it remembers the folder, and that it may count nothing.
    """
    with tempfile.TemporaryDirectory(prefix="affect-mllm-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        yield Path(folder)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there, over IPv4; port 0 is any free one. ConfigError."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise ConfigError(
            "--host, --port",
            f"{host}:{port}: {error.strerror}",
            expected="an address of this machine and a free port",
            fix="--port 0 takes any free one",
        ) from error


def serve(sessions: Sessions, at: socket.socket) -> None:
    """Serve the page until the process is told to stop."""
    import uvicorn

    app, pages = application(sessions, at.getsockname()[0])

    class Server(uvicorn.Server):
        """One that tells open pages to let go of their connections before it waits for them."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            pages.stop_event.set()
            await super().shutdown(sockets)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the folder goes, too
    Server(uvicorn.Config(app, log_level="warning")).run(sockets=[at])


def application(sessions: Sessions, host: str) -> tuple[Any, Any]:
    """The page as an ASGI application that answers to the names of `host` alone, and Gradio's
    application within it.

    So no page of another site can reach it by a name of its own that leads to this machine.
    """
    import gradio as gr
    from fastapi import FastAPI
    from gradio.routes import App
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from affect_mllm.tools.page.bounds import MIB
    from affect_mllm.tools.page.layout import page

    app = FastAPI(openapi_url=None)
    gr.mount_gradio_app(
        app,
        page(sessions),
        path="/",
        footer_links=[],
        run_history=False,
        max_file_size=int(sessions.bounds.mib * MIB),
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        css_paths=[Path(__file__).with_name("style.css")],
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=_names(host))
    found = (getattr(route, "app", None) for route in app.routes)
    pages = next(each for each in found if isinstance(each, App))
    return _Guarded(app), pages


class _Guarded:
    """An ASGI application whose every answer carries the policy."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await self.app(scope, receive, sending)


def _names(host: str) -> list[str]:
    return [*LOOPBACK] if host in LOOPBACK else ["*"]
