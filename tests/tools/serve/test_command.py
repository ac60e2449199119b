"""`affect-mllm serve` where it cannot begin: said at once, and nothing of it stays."""

from __future__ import annotations

import threading

import pytest

from affect_mllm.tools.app import main
from affect_mllm.tools.pipeline import Pipeline
from affect_mllm.tools.serve.bounds import host_name
from affect_mllm.tools.serve.server import bound
from affect_mllm.types import ConfigError


@pytest.mark.parametrize(
    ("option", "value"),
    [("--host", "x..y"), ("--max-seconds", "inf"), ("--media-host", "host:80")],
)
def test_a_wrong_option_is_said_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit) as leave:
        main(["serve", "nowhere", "--port", "0", "--no-key", option, value])
    said = capsys.readouterr().err
    assert (leave.value.code, option in said, value in said) == (2, True, True)


def test_of_two_servers_one_gets_the_port() -> None:
    with bound("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match="an address that is free"):
            bound("127.0.0.1", port)


def test_no_thread_outlives_a_server_that_cannot_begin(
    model: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no application")

    monkeypatch.setattr("affect_mllm.tools.pipeline.load", lambda *_, **__: model)
    monkeypatch.setattr("affect_mllm.tools.serve.app.make_app", fails)
    with pytest.raises(RuntimeError, match="no application"):
        main(["serve", "nowhere", "--port", "0"])
    assert "model" not in {each.name for each in threading.enumerate()}


def test_hosts_are_compared_as_urls_have_them() -> None:
    names = {"Example.COM": "example.com", "[::1]": "::1", "10.0.0.1": "10.0.0.1"}
    assert {name: host_name(name) for name in names} == names
    for wrong in ("http://example.com", "example.com:8080", "example.com/x", ""):
        with pytest.raises(ConfigError, match="no URL, no port"):
            host_name(wrong)
