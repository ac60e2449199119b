"""Serving the page: one address, one temporary folder, and nothing asked of other machines."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

    from affect_mllm.tools.page.sessions import Sessions

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


def serve(sessions: Sessions, at: socket.socket) -> None:
    """Serve the page until the process is told to stop; KeyboardInterrupt after SIGINT."""
    from affect_mllm.tools.serve.server import run

    app, pages = application(sessions, at.getsockname()[0])
    run(app, at, stopping=pages.stop_event.set)  # else an open page holds its connection for ever


def application(sessions: Sessions, host: str) -> tuple[Any, Any]:
    """The page as an ASGI application that answers to the names of `host` alone, and Gradio's
    application within it.
    """
    import gradio as gr
    from fastapi import FastAPI
    from gradio.routes import App
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from affect_mllm.tools.page.layout import page
    from affect_mllm.tools.serve.server import names_of
    from affect_mllm.tools.upload import MIB

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
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=names_of(host))
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
