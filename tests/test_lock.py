"""A folder has one run: a second is told who is there; a dead one is none, on any host."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from affect_mllm import lock
from affect_mllm.tools import app
from affect_mllm.types import ConfigError

HOLDS = """
import sys, pathlib
from affect_mllm import lock
with lock.held(pathlib.Path(sys.argv[1]), key="run_dir"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def take(folder: Path) -> None:
    with lock.held(folder, key="run_dir"):
        assert (folder / lock.NAME).is_file()


def test_a_second_process_is_told_who_is_there_and_both_ends_free_the_folder(tmp_path) -> None:
    folder = tmp_path / "run"
    with holder(folder) as process, pytest.raises(ConfigError) as refused:
        take(folder)
    assert f"in use by process {process.pid} on " in str(refused.value)
    assert not folder.exists(), "a folder that was made and stayed empty goes"
    with holder(folder) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert json.loads((folder / lock.NAME).read_text())["process"] == process.pid
        take(folder)
    assert list(folder.iterdir()) == []


def test_an_error_inside_frees_the_folder_and_keeps_its_files(tmp_path) -> None:
    with pytest.raises(KeyError), lock.held(tmp_path / "run", key="run_dir"):  # noqa: PT012
        (tmp_path / "run/kept").write_text("x")
        raise KeyError
    assert os.listdir(tmp_path / "run") == ["kept"]


def left(folder: Path, *, age_s: float, **owner: object) -> None:
    """What a run that did not end well leaves."""
    here = {"host": os.uname().nodename, "process": os.getpid(), "since": "2026", "began": "1"}
    (folder / lock.NAME).write_text(json.dumps({**here, **owner}))
    then = time.time() - age_s
    os.utime(folder / lock.NAME, (then, then))


def test_another_hosts_run_counts_while_it_says_that_it_lives(tmp_path) -> None:
    left(tmp_path, age_s=10, host="elsewhere")
    with pytest.raises(ConfigError, match=r"on elsewhere(?s:.*)start again in \d+ s or remove"):
        take(tmp_path)
    left(tmp_path, age_s=lock.STALE_S + 1, host="elsewhere")
    take(tmp_path)


def test_torn_and_foreign_contents_are_no_lock(tmp_path) -> None:
    for text in ("", "{", "[]", '"x"', "\x00\xff"):
        (tmp_path / lock.NAME).write_text(text)
        take(tmp_path)


def test_where_the_file_system_has_no_locks_the_process_decides(tmp_path, monkeypatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "lockf", none)
    left(tmp_path, age_s=0, began=lock._began(os.getpid()))
    with pytest.raises(ConfigError, match="in use"):
        take(tmp_path)
    left(tmp_path, age_s=0, began="another process had this number")
    take(tmp_path)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch, code: int) -> None:
    def refuse(path: str, *_: object) -> int:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(lock.os, "open", refuse)
    with pytest.raises(ConfigError, match=f"run_dir: .*{os.strerror(code)}"):
        take(tmp_path)


def test_a_file_in_the_way_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file/run"):
        with pytest.raises(ConfigError, match="cannot be written"):
            take(folder)


def test_the_heartbeat_moves_the_files_time(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.01)
    with lock.held(tmp_path, key="run_dir"):
        os.utime(tmp_path / lock.NAME, (1, 1))
        deadline = time.monotonic() + 600
        while os.stat(tmp_path / lock.NAME).st_mtime < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_training_in_a_folder_in_use_is_refused_before_anything(tiny, tmp_path, capsys) -> None:
    folder = tmp_path / "run"
    with holder(folder), pytest.raises(SystemExit) as left_with:
        app.main(["train", *tiny.overrides(folder)])
    assert left_with.value.code == 2
    said = capsys.readouterr().err
    assert f"run_dir: {folder} is in use by process" in said
    assert not folder.exists()


def test_one_benchmark_at_a_time_in_a_folder_and_others_beside_it(
    tiny, tiny_run, tmp_path, capsys
) -> None:
    given = [
        "eval",
        f"checkpoint={tiny_run / 'instruct/final'}",
        f"manifest={tiny.root / 'manifest.jsonl'}",
        f"run_dir={tmp_path}",
        "max_new_tokens=2",
    ]
    with holder(tmp_path / "eval/synthetic"), pytest.raises(SystemExit) as left_with:
        app.main(given)
    assert left_with.value.code == 2
    assert "in use by process" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()
    with holder(tmp_path / "eval/another"), pytest.raises(SystemExit) as left_with:
        app.main(given)
    assert left_with.value.code == 0
    assert (tmp_path / "results.json").is_file()
    assert not list(tmp_path.rglob(lock.NAME))


def test_turns_in_a_folder_are_taken_one_after_another(tmp_path) -> None:
    adds = (
        "import pathlib, sys; from affect_mllm import lock\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "for _ in range(200):\n"
        "    with lock.turn(path.parent):\n"
        "        path.write_text(str(int(path.read_text()) + 1))\n"
    )
    path = tmp_path / "count"
    path.write_text("0")
    command = [sys.executable, "-c", adds, str(path)]
    for process in [subprocess.Popen(command) for _ in range(3)]:
        assert process.wait(120) == 0
    assert path.read_text() == "600"


def test_a_process_does_not_take_its_own_folder_twice_and_keeps_it(tmp_path) -> None:
    with lock.held(tmp_path, key="run_dir"):
        with pytest.raises(ConfigError, match="in use by this process"):
            take(tmp_path / ".." / tmp_path.name)
        assert (tmp_path / lock.NAME).is_file()
    take(tmp_path)


def test_what_another_run_put_in_a_removed_locks_place_stays(tmp_path) -> None:
    with lock.held(tmp_path, key="run_dir"):
        (tmp_path / lock.NAME).unlink()
        (tmp_path / lock.NAME).write_text("{}")
    assert (tmp_path / lock.NAME).read_text() == "{}"
