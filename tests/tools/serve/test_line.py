"""The line before the model: who is asked together, who is passed over, who is answered."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from affect_mllm.models.decoding import TokenSampling
from affect_mllm.tools.pipeline import Pipeline
from affect_mllm.tools.serve.answerer import Answerer, Asked
from affect_mllm.tools.serve.bounds import Bounds
from affect_mllm.tools.serve.caller import Caller
from affect_mllm.tools.serve.line import Line, Place
from affect_mllm.tools.serve.service import Service
from affect_mllm.tools.serve.settings import Decoding
from tests.processes import DEADLINE_S
from tests.tools.serve.served import NAME, asked, here, live, part, request, said, text_of, until

GREEDY, LONG, DRAWN = Decoding(4), Decoding(5), Decoding(4, TokenSampling(1.0))


class Model:
    """Answers with the id; waits for the gate before each batch, and fails at `bad`: before
    anything of an answer is `written`, or after.
    """

    def __init__(self, *, written: bool = False) -> None:
        self.gate, self.batches = threading.Event(), list[list[str]]()
        self.written = written

    def __call__(self, asked: Sequence[Any], heard: Callable[[str, str], bool]) -> Iterable[Any]:
        self.batches.append([each.id for each in asked])
        passed(self.gate)
        for each in asked if self.written else ():
            heard(each.id, each.id)
        if "bad" in self.batches[-1]:
            raise RuntimeError("bad")
        for each in () if self.written else asked:
            heard(each.id, each.id)
        return [{"id": each.id, "response": each.id} for each in asked]


def passed(gate: threading.Event) -> None:
    """Wait for it, longer than a test waits for what must happen before, but not for ever."""
    assert gate.wait(4 * DEADLINE_S), "nobody opened the gate"


@contextmanager
def line_before(model: Model, batch: int = 8) -> Iterator[Line]:
    """A line whose thread has ended afterwards, however the test went."""
    line = Line(model, batch)
    try:
        yield line
    finally:
        model.gate.set()
        line.close()


def place(id: str, decoding: Decoding = GREEDY, *, streams: bool = True) -> Place:
    made: Any = SimpleNamespace(id=id, settings=SimpleNamespace(decoding=decoding))
    return Place(made, Caller(streams=streams))


async def answer_of(place: Place) -> str:
    try:
        pieces = [piece async for piece in place.caller.pieces()]
    except RuntimeError as error:
        return f"failed: {error}"
    assert pieces == [place.caller.row["response"]] * place.caller.streams
    return place.caller.row["response"]


def test_those_alike_are_asked_together_in_their_order() -> None:
    async def run() -> None:
        model = Model()
        with line_before(model, batch=2) as line:
            first = place("first")
            line.join(first)
            until(lambda: model.batches)  # it is asked alone: the others come while it is answered
            others = [place("a"), place("b", LONG), place("c"), place("d"), place("e", DRAWN)]
            for each in others:
                line.join(each)
            model.gate.set()
            found = [await answer_of(each) for each in (first, *others)]
        assert found == ["first", "a", "b", "c", "d", "e"]
        assert model.batches == [["first"], ["a", "c"], ["b"], ["d"], ["e"]]

    asyncio.run(run())


def test_a_request_that_fails_costs_no_other_its_answer() -> None:
    async def run() -> None:
        model = Model()
        with line_before(model) as line:
            line.join(place("first"))
            until(lambda: model.batches)
            places = [place("a"), place("bad"), place("b")]
            for each in places:
                line.join(each)
            model.gate.set()
            assert [await answer_of(each) for each in places] == ["a", "failed: bad", "b"]

    asyncio.run(run())


def test_what_fails_among_words_costs_only_streams_that_have_begun() -> None:
    async def run() -> None:
        model = Model(written=True)
        with line_before(model) as line:
            line.join(place("first"))
            until(lambda: model.batches)
            places = [place(id, streams=id == "stream") for id in ("a", "bad", "stream", "b")]
            for each in places:
                line.join(each)
            model.gate.set()
            found = [await answer_of(each) for each in places]
        assert found == ["a", "failed: bad", "failed: bad", "b"]
        assert model.batches[2:] == [["a"], ["bad"], ["b"]]

    asyncio.run(run())


def test_who_left_is_passed_over_and_who_waits_is_answered_at_the_end() -> None:
    async def run() -> None:
        model = Model()
        with line_before(model) as line:
            line.join(place("first"))
            until(lambda: model.batches)
            gone, stays = place("gone"), place("stays")
            for each in (gone, stays):
                line.join(each)
            gone.caller.leave()
            closing = threading.Thread(target=line.close)
            closing.start()
            model.gate.set()
            assert await answer_of(stays) == "stays"
            closing.join()
        assert model.batches == [["first"], ["stays"]]

    asyncio.run(run())


class Held(Answerer):
    """Answers when the gate is open; tells how many tokens of an answer were written."""

    gate = threading.Event()
    told: list[str] = []  # noqa: RUF012

    def answer(self, asked: Any, heard: Callable[[str, str], bool]) -> Any:
        passed(self.gate)

        def hearing(id: str, piece: str) -> bool:
            self.told.append(piece)
            return heard(id, piece)

        return super().answer(asked, hearing)


class SlowReader(Answerer):
    """Reads a request when the gate is open."""

    gate = threading.Event()

    def read(self, id: str, text: bytes) -> Asked:
        passed(self.gate)
        return super().read(id, text)


@pytest.fixture(autouse=True)
def _closed_gates() -> None:
    for each in (Held, SlowReader):
        each.gate.clear()


@contextmanager
def gated(answerer: Held | SlowReader) -> Iterator[str]:
    """The URL of its server; the gate is opened before the server is closed."""
    with live(Service(answerer)) as url:
        try:
            yield url
        finally:
            answerer.gate.set()


def test_more_than_may_wait_are_sent_away_and_told_when_to_come_back(model: Pipeline) -> None:
    with gated(Held(model, NAME, Bounds(waiting=2))) as url:
        replies: list[httpx.Response] = []
        threads = [
            threading.Thread(target=lambda: replies.append(asked(url, request(said("Why?")))))
            for _ in range(2)
        ]
        for each in threads:
            each.start()
        until(lambda: here(url) == 2)
        away = asked(url, request(said("Why?")))
        assert (away.status_code, away.json()["error"]["type"]) == (429, "rate_limit_error")
        assert int(away.headers["retry-after"]) >= 1
        Held.gate.set()
        for each in threads:
            each.join()
        assert [text_of(each) for each in replies] == [text_of(replies[0])] * 2
        assert here(url) == 0


def test_a_client_that_leaves_counts_no_more_and_ends_its_answer(model: Pipeline, files) -> None:
    Held.told.clear()
    long = request(said(part(files["clip"]), "Why?"), stream=True) | {"max_tokens": 900}
    with gated(Held(model, NAME, Bounds(waiting=2))) as url:
        for stream in (True, False):
            with begun(url, long | {"stream": stream}):
                until(lambda: here(url) == 1)
            until(lambda: here(url) == 0)
        Held.gate.set()
        assert text_of(asked(url, request(said("Why?"))))
    assert len(Held.told) < 900, "nobody's answer was not written to its end"


def test_a_client_that_leaves_while_its_request_is_read_counts_no_more(model: Pipeline) -> None:
    with gated(SlowReader(model, NAME, Bounds(waiting=2))) as url:
        with begun(url, request(said("Why?"))):
            until(lambda: here(url) == 1)
        until(lambda: here(url) == 0)


def begun(url: str, body: Any) -> socket.socket:
    """A connection on which the request was sent; the reply is never read."""
    where = urlsplit(url)
    made = socket.create_connection((where.hostname, where.port))
    data = json.dumps(body).encode()
    head = f"POST {where.path}/chat/completions HTTP/1.1\r\nhost: {where.netloc}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    made.sendall(head.encode() + data)
    return made


def test_drawn_answers_follow_their_seed_and_not_their_company(model: Pipeline, files) -> None:
    clip = part(files["clip"])
    bodies = [
        request(said(clip, "Why?"), temperature=2.0, top_p=0.9, seed=seed) for seed in (1, 2, 3, 1)
    ]
    with gated(Held(model, NAME, Bounds())) as url:
        found: dict[int, str] = {}

        def ask(number: int) -> None:
            found[number] = text_of(asked(url, bodies[number]))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for each in threads:
            each.start()
        until(lambda: here(url) == 4)
        Held.gate.set()
        for each in threads:
            each.join()
        alone = [text_of(asked(url, body)) for body in bodies]
    assert [found[number] for number in range(4)] == alone
    assert alone[0] == alone[3]
    assert len({*alone}) == 3
