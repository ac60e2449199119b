"""The routes of a server, and what each error becomes."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from affect_mllm.tools.serve.refusal import Refusal, refusal
from affect_mllm.tools.serve.server import names_of
from affect_mllm.tools.serve.service import Service
from affect_mllm.types import AffectError


def make_app(service: Service, key: str | None, host: str) -> FastAPI:
    """The application; below `/v1` it wants `key` as a bearer token. Where that is None, it answers
    to the names of the `host` that it listens at.
    """

    # No pages of its own: those of FastAPI load code from elsewhere.
    app = FastAPI(title="affect-mllm", docs_url=None, redoc_url=None,
                  openapi_url=None)  # fmt: skip
    app.add_api_route("/health", service.health)
    behind = APIRouter(prefix="/v1", dependencies=[Depends(_door(key))])
    behind.add_api_route("/models", service.models)
    behind.add_api_route("/models/{name:path}", service.model)
    behind.add_api_route(
        "/chat/completions", service.complete, methods=["POST"], response_model=None
    )
    app.include_router(behind)
    for kind in (Refusal, AffectError, Exception):
        app.add_exception_handler(kind, _told)
    app.add_exception_handler(HTTPException, _no_such)
    if key is None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names_of(host))
    return app


def _door(key: str | None) -> Callable[[Request], None]:
    wanted = os.fsencode(key or "")

    def enter(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        is_key = scheme.lower() == "bearer" and hmac.compare_digest(_sent(given), wanted)
        if key is not None and not is_key:
            raise Refusal(
                401,
                "authorization: no key, or another\n  expected: Bearer KEY",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    return enter


def _sent(given: str) -> bytes:
    """The bytes of a header's value, which the framework reads as Latin-1."""
    return given.strip().encode("latin-1")


async def _told(_: Request, error: Exception) -> Response:
    return _reply(refusal(error))


async def _no_such(request: Request, error: Any) -> Response:
    said = f"{request.method} {request.url.path}: {error.detail}"
    return _reply(Refusal(error.status_code, said))


def _reply(why: Refusal) -> Response:
    return JSONResponse(why.body(), why.status, why.headers)
