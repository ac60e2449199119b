"""What a server refuses, by name, in OpenAI's form and in the command line's words."""

from __future__ import annotations

import base64
import json
import math
import tempfile
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from affect_mllm.tools.pipeline import Pipeline
from affect_mllm.tools.serve.answerer import Answerer
from affect_mllm.tools.serve.bounds import Bounds
from affect_mllm.tools.serve.service import Service
from affect_mllm.tools.upload import MIB
from affect_mllm.types import DataError
from tests.processes import GLANCE_S
from tests.tools.serve.served import NAME, asked, data_url, live, part, request, said, text_of

WHY = said("Why?")
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ([], "body", "no JSON object"),
        ({"model": NAME}, "messages", "missing"),
        (request(), "messages", "at least 1"),
        (request(WHY, n=2), "n", "one answer"),
        (request(WHY, temperature=-1), "temperature", "greater than"),
        (request(WHY, temperature=math.inf), "temperature", "finite"),
        (request(WHY, temperature=2.5), "temperature", "less than"),
        (request(WHY, top_p=0), "top_p", "greater than"),
        (request(WHY, max_tokens=10**6), "max_tokens", "at most 1024"),
        (request(WHY, max_completion_tokens=9), "max_tokens and", "one of them"),
        (request(WHY, tools=[{"type": "function"}]), "tools", "not heeded"),
        (request(WHY, stop=["x"]), "stop", "not heeded"),
        (request(WHY, logprobs=True), "logprobs", "not heeded"),
        (request({"role": "tool", "content": "x"}), "messages.0.role", "'tool'"),
        (request({**WHY, "name": "Ann"}), "messages.0.name", "not heeded"),
        (request({"role": "user", "content": None}), "messages.0.content", "array"),
        (request(said({"type": "file", "file": {}})), "messages.0.content.0", "'text'"),
        (request(said({"type": "text"})), "messages.0.content.0.text", "missing"),
        (request(WHY, said("x", role="assistant")), "messages", "the user last"),
        (request(WHY, WHY), "messages", "user and assistant in turn"),
        (request(WHY, said("x", role="system"), WHY), "messages", "in turn"),
        (request(said(PICTURE, "Look.", role="system"), WHY), "messages.0", "one turn of the user"),
        (
            request(said(PICTURE, "a"), said("b", role="assistant"), said(PICTURE, "c")),
            "messages.2",
            "and in messages.0",
        ),
        (request(said(" ")), "messages.0", "no words"),
        (request(said(PICTURE, "Why?")), "image_url-1.png", "image_url-1.png"),
        (
            request(said({"type": "input_audio", "input_audio": {"data": "*", "format": "wav"}})),
            "input_audio-1",
            "base64",
        ),
        (
            request(
                said({"type": "input_audio", "input_audio": {"data": "", "format": "x" * 300}})
            ),
            "messages.0.content.0.input_audio.format",
            "xxx…",
        ),
        (
            request(said({"type": "image_url", "image_url": {"url": "data:,", "max_pixels": 9}})),
            "messages.0.content.0.image_url.max_pixels",
            "not heeded",
        ),
        (
            request(said({"type": "image_url", "image_url": {"url": "http://["}}, "Why?")),
            "image_url-1",
            "--media-host",
        ),
        (request(said("\ud800")), "body", "no JSON object"),
        (request(said("word " * 600)), "row", "tokens"),
    ],
)
def test_what_is_not_done_is_refused_by_name(url: str, body: Any, param: str, words: str) -> None:
    content = json.dumps(body)  # half a character as its escape
    headers = {"content-type": "application/json"}
    reply = httpx.post(f"{url}/chat/completions", content=content, headers=headers)
    error = reply.json()["error"]
    assert reply.status_code == 400, reply.text
    assert error["param"].startswith(param), error
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"
    assert "affect-serve-" not in reply.text, "where its files were is nobody's business"


def test_a_broken_clip_is_told_in_the_command_lines_words(
    url: str, model: Pipeline, files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = tmp_path / "video_url-1.mp4"
    half.write_bytes(files["clip"].read_bytes()[:2000])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as own:
        model.ask([half.name], "Why?")
    reply = asked(url, request(said(part(half), "Why?")))
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, str(own.value))


def test_a_file_is_of_the_kind_that_it_is_said_to_be_and_not_too_long(
    url: str, model: Pipeline, files
) -> None:
    wrong = {"type": "image_url", "image_url": data_url(files["clip"], "image/png")}
    reply = asked(url, request(said(wrong, "Why?")))
    assert (reply.status_code, "of kind video" in reply.text) == (400, True)
    short = Service(Answerer(model, NAME, Bounds(clip_s=0.1, parts=2)))
    with live(short) as other:
        reply = asked(other, request(said(part(files["clip"]), "Why?")))
        assert (reply.status_code, "at most 0.1 s" in reply.text) == (400, True)
        reply = asked(other, request(said(*[part(files["red"])] * 3, "Why?")))
        assert (reply.status_code, "3 media" in reply.text) == (400, True)


def test_too_much_another_kind_of_body_and_another_path(url: str) -> None:
    large = request(said("x" * MIB))
    assert asked(url, large).status_code == 413

    def pieces() -> Any:
        yield json.dumps(large).encode()

    headers = {"content-type": "application/json"}
    told = httpx.post(f"{url}/chat/completions", content=pieces(), headers=headers)
    assert (told.status_code, told.json()["error"]["code"]) == (413, "too_large")
    plain = httpx.post(f"{url}/chat/completions", content=json.dumps(request(WHY)))
    assert plain.status_code == 415
    for path in ("/completions", "/models/other"):
        reply = httpx.get(url + path)
        assert (reply.status_code, reply.json()["error"]["type"]) == (404, "invalid_request_error")
    assert httpx.get(f"{url}/chat/completions").status_code == 405


def test_without_a_key_it_answers_to_this_machines_names_alone(url: str, model: Pipeline) -> None:
    for name, status in (("evil.example", 400), ("localhost:9", 200), ("[::1]:9", 200)):
        assert httpx.get(f"{url}/models", headers={"host": name}).status_code == status
    with live(Service(Answerer(model, NAME, Bounds())), "schlüssel") as other:
        for given, status in (("bearer schlüssel", 200), ("schlüssel", 401), ("Basic x", 401)):
            headers = {"host": "a.example", "authorization": given.encode()}
            assert httpx.get(f"{other}/models", headers=headers).status_code == status
    health = httpx.get(url.removesuffix("v1") + "health").json()
    assert health == {"status": "ok", "requests": 0}, "what is served is not everybody's business"


def test_a_failure_is_told_without_how(model: Pipeline, caplog) -> None:
    class Failing(Answerer):
        def answer(self, asked: Any, heard: Any) -> Any:
            raise RuntimeError("a secret")

    with live(Service(Failing(model, NAME, Bounds()))) as url:
        reply = asked(url, request(WHY))
        assert (reply.status_code, reply.json()["error"]["type"]) == (500, "server_error")
        assert "secret" not in reply.text
        streamed = asked(url, request(WHY, stream=True))
        assert '"server_error"' in streamed.text.splitlines()[-2]
        assert "secret" not in streamed.text


class Files(BaseHTTPRequestHandler):
    """Serves a picture, and sends those who ask for `/moved` to `/other`, those who ask for
    `/endless` byte after byte; counts.
    """

    picture = b""
    got: list[str]

    def do_GET(self) -> None:
        self.got.append(self.path)
        moved = self.path == "/moved"
        self.send_response(302 if moved else 200)
        self.send_header("location", "/other")
        if self.path != "/endless":
            self.send_header("content-length", str(0 if moved else len(self.picture)))
        self.end_headers()
        with suppress(OSError):  # who does not want more has left
            while self.path == "/endless":
                self.wfile.write(b"x")
                time.sleep(GLANCE_S)
        self.wfile.write(b"" if moved else self.picture)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere(files):
    class Here(Files):
        picture, got = files["red"].read_bytes(), []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Here)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", Here.got
    server.shutdown()
    thread.join()
    server.server_close()


def test_urls_are_opened_of_admitted_hosts_alone(url: str, model, files, elsewhere) -> None:
    where, got = elsewhere

    def looking(at: str) -> dict[str, Any]:
        return request(said({"type": "image_url", "image_url": at}, "Why?"))

    for at in (f"{where}/red.png", f"file://{files['red']}", str(files["red"]), "data:,x"):
        reply = asked(url, looking(at))
        assert (reply.status_code, "--media-host" in reply.text) == (400, True)
    listed = f"#EXTM3U\n#EXTINF:1,\n{where}/a.ts\n#EXT-X-ENDLIST\n"
    hls = "data:video/mp4;base64," + base64.b64encode(listed.encode()).decode()
    reply = asked(url, request(said({"type": "video_url", "video_url": hls}, "Why?")))
    assert reply.status_code == 400
    assert got == [], "no address that a request names was asked"
    admitting = Service(Answerer(model, NAME, Bounds(hosts=("127.0.0.1",))))
    with live(admitting) as other:
        own = text_of(asked(url, request(said(part(files["red"]), "Why?"))))
        assert text_of(asked(other, looking(f"{where}/red.png"))) == own
        assert asked(other, looking(f"{where}/moved")).status_code == 400
        long = f"/red.{'x' * 300}"
        assert text_of(asked(other, looking(where + long))) == own
        assert asked(other, looking(f"{where}/\0.png")).status_code == 400
    assert got == ["/red.png", "/moved", long], "and not where another host leads to"
    small = Service(Answerer(model, NAME, Bounds(hosts=("127.0.0.1",), upload_bytes=200)))
    with live(small) as other:
        assert asked(other, looking(f"{where}/red.png")).status_code == 413
    quick = Service(Answerer(model, NAME, Bounds(hosts=("127.0.0.1",), fetch_s=0.2)))
    with live(quick) as other:
        reply = asked(other, looking(f"{where}/endless"))
        assert (reply.status_code, "one within 0.2 s" in reply.text) == (400, True)


def test_files_are_gone_when_a_request_was_read(
    url: str, files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert asked(url, request(said(part(files["clip"]), "Why?"))).status_code == 200
    assert asked(url, request(said(PICTURE, "Why?"))).status_code == 400
    assert list(tmp_path.iterdir()) == []
