"""The way of a request: admitted, read, answered, gone."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from affect_mllm.data.features import cores_of_rank
from affect_mllm.log import LOGGER
from affect_mllm.tools.serve.answerer import Answerer, Asked, unknown_model
from affect_mllm.tools.serve.caller import Caller
from affect_mllm.tools.serve.line import Line, Place
from affect_mllm.tools.serve.media import too_large
from affect_mllm.tools.serve.refusal import Refusal, refusal
from affect_mllm.tools.serve.replies import Replies, failed

_T = TypeVar("_T")
LEFT = 499  # nobody reads it; what logs of servers write of a client that closed its connection


class Service:
    """A checkpoint that is asked by many at once, `Bounds.waiting` at most."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer, self._bounds = answerer, answerer.bounds
        self._line = Line(answerer.answer, self._bounds.batch)
        self._readers = ThreadPoolExecutor(cores_of_rank(), thread_name_prefix="reader")
        self._began = int(time.time())
        self._here = 0

    def close(self) -> None:
        """Answer whoever waits, and end the threads."""
        self._readers.shutdown()
        self._line.close()

    def health(self) -> dict[str, Any]:
        """How many requests are being read, wait or are answered."""
        return {"status": "ok", "requests": self._here}

    def models(self) -> dict[str, Any]:
        """The one model, as a list."""
        return {"object": "list", "data": [self.model(self._answerer.name)]}

    def model(self, name: str) -> dict[str, Any]:
        """The model of that name. Refusal (404) for another."""
        if name != self._answerer.name:
            raise unknown_model(name, self._answerer.name)
        return {"id": name, "object": "model", "created": self._began, "owned_by": "affect-mllm"}

    async def complete(self, request: Request) -> Response:
        """The reply to a chat completion. Raises what a request is refused for."""
        with ExitStack() as stack:
            stack.enter_context(self._admitted())
            text = await self._body(request)
            async with _watched(request) as left:
                asked = await _unless(left, self._read(text))
                del text
                caller = Caller(streams=asked.settings.stream)
                stack.callback(caller.leave)
                self._line.join(Place(asked, caller))
                replies = Replies(asked, self._answerer.name, self._answerer.pipeline.name)
                if asked.settings.stream:
                    return _Streamed(_events(caller, replies), stack.pop_all())
                return JSONResponse(replies.whole(await _unless(left, _through(caller))))

    async def _read(self, text: bytes) -> Asked:
        id = f"chatcmpl-{uuid.uuid4().hex}"
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._answerer.read, id, text)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._here >= self._bounds.waiting:
            wait_s = max(1, math.ceil(self._line.lasted_s))
            raise Refusal(
                429,
                f"busy: {self._here} requests wait\n  to mend it: ask again in {wait_s} s",
                code="queue_full",
                headers={"Retry-After": str(wait_s)},
            )
        self._here += 1
        try:
            yield
        finally:
            self._here -= 1

    async def _body(self, request: Request) -> bytes:
        """What the client sends, as far as it is admitted. Raises Refusal."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # what a foreign page can make a browser send is not
            raise Refusal(415, f"content-type: {kind!r}\n  expected: application/json")
        most, parts, size = self._bounds.upload_bytes, [], 0
        if int(request.headers.get("content-length") or 0) > most:
            raise too_large("the request", self._bounds)
        try:
            async with asyncio.timeout(self._bounds.upload_s):
                async for part in request.stream():
                    size += len(part)
                    if size > most:
                        raise too_large("the request", self._bounds)
                    parts.append(part)
        except ClientDisconnect as error:
            raise Refusal(LEFT, "the client left") from error
        except TimeoutError as error:
            raise Refusal(408, f"no whole request within {self._bounds.upload_s:g} s") from error
        return b"".join(parts)


class _Streamed(StreamingResponse):
    """A stream of events that gives its place back however it ends."""

    def __init__(self, events: AsyncIterator[str], place: ExitStack) -> None:
        super().__init__(events, media_type="text/event-stream")
        self.headers["cache-control"] = "no-cache"
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


async def _events(caller: Caller, replies: Replies) -> AsyncIterator[str]:
    yield replies.first()
    try:
        async for piece in caller.pieces():
            yield replies.piece(piece)
    except Exception as error:
        yield failed(refusal(error).body())
        return
    for chunk in replies.last(caller.row):
        yield chunk


async def _unless(left: asyncio.Task[None], work: Coroutine[Any, Any, _T]) -> _T:
    """What `work` comes to. Refusal where the client has `left` before; then it is cancelled."""
    doing = asyncio.create_task(work)
    try:
        await asyncio.wait({doing, left}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
    finally:
        doing.cancel()
    LOGGER.info("a client left before its answer came")
    raise Refusal(LEFT, "the client left")


async def _through(caller: Caller) -> dict[str, Any]:
    async for _ in caller.pieces():
        pass
    return caller.row


@asynccontextmanager
async def _watched(request: Request) -> AsyncIterator[asyncio.Task[None]]:
    """A task that is done when the client is gone."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.create_task(gone())
    try:
        yield task
    finally:
        task.cancel()
