"""The command: quick to help, one message and the right exit code for each kind of failure."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise

import pytest
import typer

from affect_mllm.config import recipes_dir
from affect_mllm.tools import app
from affect_mllm.tools.examples import EXAMPLES
from affect_mllm.types import CheckpointError, ConfigError, DataError
from tests.published import understood

HEAVY = ("torch", "transformers", "av", "peft", "timm", "matplotlib", "scipy", "pyarrow", "numpy")


def leave(argv: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        app.main(argv)
    return left.value.code


@pytest.fixture
def replace(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a function in the place of a subcommand."""

    def put(name: str, function: Callable[..., object], *, raw: bool = False) -> None:
        command = app.Command(f"{__name__}:unused", "test", raw=raw)
        monkeypatch.setitem(app.COMMANDS, name, command)
        monkeypatch.setattr(app.Command, "load", lambda self: function)

    return put


def raiser(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from affect_mllm.tools.app import main\n"
        "try: main(['--help'])\n"
        "finally: print('LOADED', *(name for name in sys.modules if '.' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, _, loaded = done.stdout.partition("LOADED ")
    assert not {*HEAVY, "pydantic", "omegaconf"} & set(loaded.split())
    assert all(f" {name} " in shown for name in app.COMMANDS)


HELPS = """
import contextlib, io, json, sys
from affect_mllm.tools import app

shown = {}
for name in app.COMMANDS:
    before = {*sys.modules}
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as out:
        app.main([name, "--help"])
    shown[name] = out.getvalue(), sorted({*sys.argv[1:]} & {*sys.modules} - before)
print(json.dumps(shown))
"""


@pytest.fixture(scope="module")
def helps() -> dict[str, tuple[str, list[str]]]:
    """Each subcommand's help in a terminal of 80 columns, and what of HEAVY is loaded by then."""
    env = {**os.environ, "COLUMNS": "80", "TERM": "dumb"}
    command = [sys.executable, "-c", HELPS, *HEAVY]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stderr == "", "dependencies stay silent"
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", app.COMMANDS)
def test_a_subcommands_help_is_light_and_fits_80_columns(name: str, helps) -> None:
    text, loaded = helps[name]
    assert loaded == []
    assert max(map(len, text.splitlines())) <= 80
    assert len(text) > 100


@pytest.mark.parametrize("name", app.COMMANDS)
def test_a_subcommands_help_ends_with_an_example_that_is_understood(
    name: str, helps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(recipes_dir())
    line = f"affect-mllm {name} {EXAMPLES[name]}"
    shown = re.sub(r"[\s\\]+", " ", helps[name][0])
    assert f"Example: {line} " in shown
    understood(line)


@pytest.mark.parametrize("name", [name for name, each in app.COMMANDS.items() if not each.raw])
def test_a_subcommands_help_breaks_lines_only_where_they_are_full(name: str, helps) -> None:
    said = helps[name][0].partition("Usage:")[2].partition("╭")[0]
    lines = [line.rstrip() for line in said.splitlines()[2:]]
    for line, after in pairwise(lines):
        assert not (line and after) or len(f"{line} {after.split()[0]}") > 79, (line, after)


def test_every_example_is_of_a_subcommand() -> None:
    assert EXAMPLES.keys() == app.COMMANDS.keys()


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_subcommand_of_the_table_exists(name: str) -> None:
    assert callable(app.COMMANDS[name].load())


def test_wrong_use_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(["valdate"]) == 2
    assert "validate" in capsys.readouterr().err
    assert leave(["validate", "--foo"]) == 2
    assert leave([]) == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(["--version"]) == 0
    assert capsys.readouterr().out.startswith("affect-mllm 0.")


@pytest.mark.parametrize(("kind", "code"), [(ConfigError, 2), (DataError, 1), (CheckpointError, 1)])
@pytest.mark.parametrize("raw", [True, False])
def test_our_errors_are_one_message_and_their_code(
    replace: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    kind: type[ConfigError],
    code: int,
    raw: bool,
) -> None:
    error = kind("here", "this", expected="that", fix="do it")
    replace("fails", (lambda argv: raiser(error)()) if raw else raiser(error), raw=raw)
    assert leave(["fails"]) == code
    assert capsys.readouterr().err == "here: this\n  expected: that\n  to mend it: do it\n"


@pytest.mark.parametrize("raw", [True, False])
def test_ctrl_c_is_130(replace: Callable[..., None], raw: bool) -> None:
    stop = raiser(KeyboardInterrupt())
    replace("stops", (lambda argv: stop()) if raw else stop, raw=raw)
    assert leave(["stops"]) == 130


def test_a_full_disk_is_named_wherever_it_is_said(
    replace: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x")
    wrapped = RuntimeError("cannot save")
    wrapped.__cause__ = full
    foreign = RuntimeError("I/O error: No space left on device (os error 28)")
    for error in (full, wrapped, foreign):
        replace("fills", raiser(error))
        assert leave(["fills"]) == 1
        assert "disk full: " in capsys.readouterr().err


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOTDIR, errno.EISDIR])
def test_a_place_that_is_closed_is_named(
    replace: Callable[..., None], capsys: pytest.CaptureFixture[str], code: int
) -> None:
    replace("writes", raiser(OSError(code, os.strerror(code), "/data/x")))
    assert leave(["writes"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"/data/x: {os.strerror(code)}\n  to mend it: ")


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "no file is named"), OSError(errno.ENOENT, "gone", "/x")]
)
def test_other_errors_of_the_system_keep_their_traceback(
    replace: Callable[..., None], error: OSError
) -> None:
    replace("breaks", raiser(error))
    with pytest.raises(OSError, match=str(error.strerror)):
        app.main(["breaks"])


def test_other_errors_keep_their_traceback(replace: Callable[..., None]) -> None:
    replace("breaks", raiser(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        app.main(["breaks"])


def test_arguments_of_train_pass_untouched(replace: Callable[..., None]) -> None:
    seen: list[list[str]] = []
    replace("train", lambda argv: seen.append(argv) or 75, raw=True)
    assert leave(["train", "experiment=x", "--cfg", "job", "~a.b"]) == 75
    assert seen == [["experiment=x", "--cfg", "job", "~a.b"]]


@pytest.mark.parametrize("name", ["train", "eval"])
def test_help_of_train_and_eval_lists_groups(name: str, capsys) -> None:
    assert leave([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert "benchmark: " in said
    assert "emotion_llama, emotion_llama_v2, emotion_qwen" in said


def test_a_command_s_own_exit_code_is_kept(replace: Callable[..., None]) -> None:
    replace("found", raiser(typer.Exit(1)))
    assert leave(["found"]) == 1
    replace("stopped", raiser(typer.Exit(75)))
    assert leave(["stopped"]) == 75


@pytest.mark.parametrize("words", [["recipe"], ["train", "--help"], ["--help"]])
def test_a_reader_that_leaves_early_costs_no_traceback(words: list[str]) -> None:
    """As in `affect-mllm recipe | head -1`."""
    reads, writes = os.pipe()
    os.close(reads)
    code = "from affect_mllm.tools.app import main; main()"
    with os.fdopen(writes, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-c", code, *words], stdout=pipe, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (1, "")
