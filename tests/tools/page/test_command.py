"""`affect-mllm demo` where it cannot begin: said at once, with the usual code."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path

import pytest

from affect_mllm.tools.app import main


def left(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as leave:
        main(["demo", *words])
    return int(leave.value.code or 0), capsys.readouterr().err


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command sets in the environment goes with the test."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


def test_a_checkpoint_that_is_not_there_is_said_as_predict_says_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "none")
    code, said = left(capsys, nowhere, "--port", "0")
    assert f"{nowhere}: no such folder" in said
    with pytest.raises(SystemExit) as leave:
        main(["predict", "--subtitle", "Hm.", "--checkpoint", nowhere])
    assert (leave.value.code, capsys.readouterr().err) == (code, said)


def test_a_taken_port_is_wrong_use_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = left(capsys, "nowhere", "--port", str(port))
    assert code == 2
    assert f"--host 127.0.0.1 --port {port}" in said


@pytest.mark.parametrize(
    ("option", "value"), [("--max-upload", "inf"), ("--max-seconds", "inf"), ("--host", "x..y")]
)
def test_a_bound_that_is_no_number_and_a_host_that_is_no_name_are_wrong_use(
    capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    code, said = left(capsys, "nowhere", option, value)
    assert (code, option in said, value in said) == (2, True, True)


def test_the_same_checkpoint_beside_itself_is_wrong_use(capsys) -> None:
    code, said = left(capsys, "one", "--beside", "one")
    assert (code, "--beside" in said) == (2, True)


def test_without_gradio_the_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    code, said = left(capsys, "one")
    assert code == 2
    assert "affect-mllm[page]" in said
