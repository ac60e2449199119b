"""Asking a helper model: over real HTTP, from a local folder, with every reply kept."""

from __future__ import annotations

import json
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
import torch

from affect_mllm.eval import chat
from affect_mllm.eval.chat import Endpoint, LocalChat, ReplyError, each
from affect_mllm.eval.ranks import Ranks
from affect_mllm.eval.replies import KeptReplies
from affect_mllm.types import CheckpointError, ConfigError, DataError
from tests.eval.server import CUT, SLOW, USAGE, served

HELLO = [{"role": "user", "content": "hello"}]


def endpoint(url: str, **changes) -> Endpoint:
    return replace(Endpoint(url, "m1", backoff_s=0.0), **changes)


def test_a_request_is_deterministic_and_carries_the_key_of_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("TEST_KEY", "secret")
    with served(lambda body, _: (200, f"heard {body['messages'][0]['content']}")) as seen:
        said = endpoint(seen.url, key_env="TEST_KEY", seed=5).ask(HELLO)
        monkeypatch.delenv("TEST_KEY")
        endpoint(seen.url, key_env="TEST_KEY").ask(HELLO)
    assert said == "heard hello"
    assert seen.keys == ["Bearer secret", None]
    body = seen.requests[0]
    assert (body["model"], body["temperature"], body["seed"]) == ("m1", 0, 5)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status: int) -> None:
    with served(lambda _, number: (200, "now") if number == 3 else (status, "busy")) as seen:
        assert endpoint(seen.url, retries=2).ask(HELLO) == "now"
        assert len(seen.requests) == 3


def test_a_server_that_stays_busy_gives_no_reply() -> None:
    with served(lambda _body, _number: (503, "busy")) as seen:
        with pytest.raises(ReplyError, match="HTTP 503: busy, 3 times"):
            endpoint(seen.url, retries=2).ask(HELLO)
        assert len(seen.requests) == 3


def test_a_server_says_how_long_to_wait_as_a_number_or_a_date(monkeypatch) -> None:
    monkeypatch.setattr(chat.time, "time", lambda: 1_700_000_000.0)
    later = formatdate(1_700_000_042.0, usegmt=True)
    given = {"7": 7.0, "2.5": 2.5, later: 42.0, "": 3.0, "soon": 3.0}
    for text, seconds in given.items():
        assert chat._asked_to_wait({"retry-after": text}, 3.0) == seconds


def test_nobody_waits_for_a_day(monkeypatch) -> None:
    monkeypatch.setattr(chat, "_asked_to_wait", lambda *_: 86400.0)
    with served(lambda _b, _n: (429, "quota")) as seen:
        with pytest.raises(ReplyError, match="429: quota, and asks to wait 86400 s"):
            endpoint(seen.url).ask(HELLO)
        assert len(seen.requests) == 1


@pytest.mark.parametrize("status", [CUT, SLOW])
def test_a_cut_stream_and_a_slow_reply_are_asked_for_again(status: int) -> None:
    with served(lambda _, number: (200 if number == 2 else status, "now")) as seen:
        found = endpoint(seen.url, timeout_s=4).reply(HELLO)
        assert (found.text, len(seen.requests)) == ("now", 2)
        assert (found.tokens_in, found.tokens_out) == tuple(USAGE.values())


def test_a_page_that_is_no_server_of_models_is_said_at_once() -> None:
    with served(lambda _b, _n: (200, "x")) as seen:
        with pytest.raises(ConfigError, match="url"):
            endpoint(f"{seen.url}/chat").ask(HELLO)
        assert len(seen.requests) == 1


def test_a_server_that_is_not_there_gives_no_reply() -> None:
    with served(lambda _body, _number: (200, "")) as seen:
        pass
    with pytest.raises(ReplyError, match="ConnectError"):
        endpoint(seen.url, retries=1).ask(HELLO)


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "url and model")]
)
def test_a_request_that_can_never_succeed_stops_at_once(status: int, hint: str) -> None:
    with served(lambda _body, _number: (status, "no")) as seen:
        with pytest.raises(ConfigError, match=hint):
            endpoint(seen.url).ask(HELLO)
        assert len(seen.requests) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_words_that_a_server_refuses_get_no_reply_and_the_rest_goes_on(status: int) -> None:
    with served(lambda _, number: (200, "fine") if number == 2 else (status, "too long")) as seen:
        chat = endpoint(seen.url)
        with pytest.raises(ReplyError, match=f"HTTP {status}: "):
            chat.ask(HELLO)
        assert chat.ask(HELLO) == "fine"
        assert len(seen.requests) == 2, "asked once: the same words are refused again"


def test_kept_replies_are_not_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "deep/replies.jsonl"
    with served(lambda _, number: (200, f"reply {number}")) as seen:
        chat = KeptReplies(endpoint(seen.url), path)
        first = chat.ask(HELLO)
        again = KeptReplies(endpoint(seen.url), path)
        assert again.ask(HELLO) == chat.ask(HELLO) == first == "reply 1"
        other = KeptReplies(endpoint(seen.url, model="m2"), path)
        assert other.ask(HELLO) == "reply 2", "another model's reply must not stand in"
        assert again.ask([*HELLO, *HELLO]) == "reply 3"
        assert len(seen.requests) == 3


def test_a_torn_last_reply_is_asked_for_again_and_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    with served(lambda _, number: (200, f"reply {number}")) as seen:
        KeptReplies(endpoint(seen.url), path).ask(HELLO)
        path.write_text(path.read_text() + path.read_text()[:40])
        assert KeptReplies(endpoint(seen.url), path).ask(HELLO) == "reply 1"
        KeptReplies(endpoint(seen.url), path).ask([*HELLO, *HELLO])
    assert [json.loads(line)["reply"] for line in path.read_text().splitlines()] == [
        "reply 1",
        "reply 2",
    ]
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(DataError, match=r"replies\.jsonl:3"):
        KeptReplies(endpoint("http://unused"), path)


def test_a_local_model_answers_greedily_and_says_which_weights(tiny) -> None:
    chat = LocalChat(str(tiny.root / "llm"), max_tokens=8)
    assert chat.ask(HELLO) == LocalChat(str(tiny.root / "llm"), max_tokens=8).ask(HELLO)
    assert len(chat.identity()["weights"]) == 16
    with pytest.raises(CheckpointError, match="nowhere"):
        LocalChat(str(tiny.root / "nowhere")).ask(HELLO)


def test_a_local_model_computes_where_this_process_does(tiny, monkeypatch) -> None:
    monkeypatch.setattr(Ranks, "device", property(lambda _: torch.device("meta")))
    chat = LocalChat(str(tiny.root / "llm"))
    weights = LocalChat(str(tiny.root / "llm")).identity()["weights"]
    assert chat._parts()["net"].device.type == "meta"
    assert chat.identity()["weights"] == weights


def test_several_at_once_keep_their_order() -> None:
    assert each(lambda x: x * x, range(20), workers=4, title="squares") == [
        x * x for x in range(20)
    ]
