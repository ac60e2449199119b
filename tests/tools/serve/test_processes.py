"""The real command in a process of its own: OpenAI's client, 32 of them, our own evaluation."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest

from affect_mllm.eval.main import main as evaluate
from affect_mllm.tools.pipeline import Pipeline
from tests.processes import DEADLINE_S, finished
from tests.tools.serve.served import NAME, Served, part, request, said, served

QUESTIONS = ("Which emotion?", "Describe the face.")
CLIENTS = 32


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    with served(folder, AFFECT_MLLM_API_KEY="secret") as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="secret", max_retries=0) as made:
        yield made


def test_the_openai_client_lists_asks_and_reads_along(client, model: Pipeline, files) -> None:
    assert [each.id for each in client.models.list()] == [NAME]
    assert client.models.retrieve(NAME).owned_by == "affect-mllm"
    (own,) = model.ask([files["clip"]], QUESTIONS[0], subtitle="I won!", max_new_tokens=8)
    how = request(said(part(files["clip"]), QUESTIONS[0]), extra_body={"subtitle": "I won!"})
    whole = client.chat.completions.create(**how)
    choice = whole.choices[0]
    assert (choice.message.content, choice.message.role) == (own.text, "assistant")
    assert choice.finish_reason == "length"
    assert whole.usage.completion_tokens == 8
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + 8
    assert whole.affect_mllm["modalities"] == list(own.modalities)
    assert whole.affect_mllm["gate"] == own.gate
    chunks = list(
        client.chat.completions.create(**how, stream=True, stream_options={"include_usage": True})
    )
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(filter(None, pieces)) == own.text
    assert len(list(filter(None, pieces))) > 1
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].usage == whole.usage
    with pytest.raises(openai.NotFoundError, match="other"):
        client.chat.completions.create(**{**how, "model": "other"})
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**how, n=2)
    assert refused.value.param == "n"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="other").models.list()


def test_32_clients_at_once_lose_nothing_and_get_what_predict_says(
    client, model: Pipeline, files
) -> None:
    media = [files["clip"], files["silent"], files["sound"], files["red"]]
    asked = [(media[n % 4], QUESTIONS[n // 4 % 2], 4 + n // 16) for n in range(CLIENTS)]

    def one(number: int) -> str:
        path, question, tokens = asked[number]
        how = request(said(part(path), question)) | {"max_tokens": tokens}
        if number % 3:
            return client.chat.completions.create(**how).choices[0].message.content
        chunks = client.chat.completions.create(**how, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(one, range(CLIENTS)))
    own = {
        (path, question, tokens): model.ask([path], question, max_new_tokens=tokens)[0].text
        for path, question, tokens in {*asked}
    }
    assert found == [own[each] for each in asked]


def test_our_own_evaluation_asks_it(server: Served, tiny, tmp_path: Path, monkeypatch) -> None:
    """Frames, sounds and words of every row as parts, by several workers."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    words = ["model=endpoint", f"model.url={server.url}", f"model.model={NAME}", "model.hears=true",
             f"manifest={tiny.root / 'manifest.jsonl'}", "benchmark=own_clips",
             f"run_dir={tmp_path}", "max_new_tokens=6"]  # fmt: skip
    assert evaluate(words) == 0
    (path,) = tmp_path.rglob("*.predictions.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows
    assert not [row for row in rows if "error" in row]
    assert all(row["tokens_out"] for row in rows)


def test_who_is_asked_to_stop_finishes_what_runs(folder: Path, files) -> None:
    with served(folder) as server, openai.OpenAI(base_url=server.url, api_key="-") as client:
        how = request(said(part(files["clip"]), "Why?")) | {"max_tokens": 300}
        chunks = client.chat.completions.create(**how, stream=True)
        next(iter(chunks))
        server.process.send_signal(signal.SIGTERM)
        rest = list(chunks)
        assert rest[-1].choices[0].finish_reason in ("length", "stop")
        assert server.process.wait(DEADLINE_S) == 0
        where = urlsplit(server.url)
        with (
            pytest.raises(ConnectionRefusedError),
            socket.create_connection((where.hostname, where.port)),
        ):
            pass


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--host", "0.0.0.0"], "AFFECT_MLLM_API_KEY"),
        (["--port", "{taken}"], "an address that is free"),
    ],
)
def test_what_is_not_served_is_said_before_anything_is_loaded(words, reason) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        words = [each.format(taken=port) for each in words]
        code, told = finished(["-m", "affect_mllm.tools.app", "serve", "no/such/folder", *words])
    assert code == 2
    assert reason in told
    assert "Traceback" not in told
