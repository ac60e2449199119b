"""Every command that a message of the package names is one that exists, with those options."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from affect_mllm.tools import app
from affect_mllm.types import AffectError

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    [ROOT / "train.py", ROOT / "eval.py"]
    + [path for name in ("affect_mllm", "data_recipes") for path in (ROOT / name).rglob("*.py")]
)
PLACE = "VALUE"  # in the place of what an f-string puts in


class Hint(NamedTuple):
    """A command in a text: where, what kind of command, its words."""

    where: str
    kind: str
    words: list[str]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """All strings of a module, docstrings too: line and text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node)
        if part is not node
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else PLACE for v in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in inside:
            yield node.lineno, str(node.value)


COMMAND = re.compile(
    r"""(?P<tool>affect-mllm)[ ](?P<name>[a-z][a-z-]*)(?P<rest>[^`"(),;:…\n]*)
    |`(?P<make>make)[ ](?P<target>[a-z-]+)`
    |pip[ ]install[ ]'affect-mllm\[(?P<extra>[a-z,]+)\]'
    |(?P<script>\b(?:data_recipes/\w+|train|eval|benchmarks/\w+)\.py)\b""",
    re.VERBOSE,
)


def hints() -> Iterator[Hint]:
    for path in SOURCES:
        for line, text in texts(path):
            for found in COMMAND.finditer(text):
                where = f"{path.relative_to(ROOT)}:{line}"
                if found["tool"]:
                    words = found["rest"].replace("'", " ").split()
                    yield Hint(where, "affect-mllm", [found["name"], *words])
                elif found["make"]:
                    yield Hint(where, "make", [found["target"]])
                elif found["extra"]:
                    yield Hint(where, "extra", found["extra"].split(","))
                else:
                    yield Hint(where, "script", [found["script"]])


HINTS = list(hints())


@cache
def options(name: str) -> set[str]:
    command: Any = typer.main.get_command(app.build(name))
    return {opt for param in command.commands[name].params for opt in param.opts}


def wrong(hint: Hint) -> list[str]:
    """What of a hint does not exist."""
    if hint.kind == "affect-mllm":
        name, *words = hint.words
        if name not in app.COMMANDS:
            return [name]
        given = {word.split("=")[0] for word in words if word.startswith("--")}
        known = {"-m", "--help"} if app.COMMANDS[name].raw else options(name)
        return sorted(given - known)
    if hint.kind == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        return sorted(set(hint.words) - set(targets))
    if hint.kind == "extra":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        return sorted(set(hint.words) - set(project["optional-dependencies"]))
    return [name for name in hint.words if not (ROOT / name).is_file()]


def test_every_command_in_a_text_of_the_package_exists() -> None:
    kinds = {hint.kind for hint in HINTS}
    assert kinds == {"affect-mllm", "make", "extra", "script"}
    assert len(HINTS) > 60
    assert {hint: found for hint in map(tuple_of, HINTS) if (found := wrong(Hint(*hint)))} == {}


def tuple_of(hint: Hint) -> tuple[str, str, tuple[str, ...]]:
    return hint.where, hint.kind, tuple(hint.words)


@pytest.mark.parametrize(
    "text",
    [
        "affect-mllm valdate FILE",
        "run `affect-mllm score --verdict FILE`",
        "`make dmeo`",
        "pip install 'affect-mllm[qlra]'",
        "run data_recipes/meldd.py",
    ],
)
def test_a_command_that_does_not_exist_would_be_seen(text, tmp_path, monkeypatch) -> None:
    module = tmp_path / "module.py"
    module.write_text(f"FIX = {text!r}\n")
    monkeypatch.setattr(f"{__name__}.SOURCES", [module])
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (hint,) = hints()
    monkeypatch.undo()
    assert wrong(hint)


def failed(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """What a command that fails says."""
    with pytest.raises(SystemExit) as left:
        app.main(list(command))
    assert left.value.code not in (0, None)
    caught = capsys.readouterr()
    return caught.err + caught.out


def test_bad_rows_name_the_command_that_lists_all_and_it_does(tmp_path, capsys) -> None:
    bad = tmp_path / "with space.jsonl"
    bad.write_text("".join(json.dumps({"id": str(n), "vidoe": "x"}) + "\n" for n in range(30)))
    said = failed(
        capsys, "score", "--benchmark", "synthetic", "--predictions", "x", "--manifest", str(bad)
    )
    advised = re.search(r"see them all: affect-mllm (.+)", said)
    assert advised is not None
    listed = failed(capsys, *shlex.split(advised[1]))
    assert all(f"{bad}:{n + 1}: " in listed for n in range(30))


def test_a_table_of_clips_is_never_said_to_be_a_manifest(tmp_path, capsys) -> None:
    table = tmp_path / "clips.csv"
    table.write_text("file,emotion\nmissing.mp4,happy\n")
    said = failed(capsys, "manifest", "--csv", str(table), "--media-root", str(tmp_path))
    assert "clips.csv:2" in said
    assert "validate" not in said


def test_labels_outside_a_task_and_rows_to_write_have_advice_of_their_own(tmp_path) -> None:
    from affect_mllm.data import manifest

    good = tmp_path / "m.jsonl"
    row = {"id": "a", "subtitle": "I see.", "labels": {"emotion": "gald"}}
    manifest.write([row], good)
    with pytest.raises(AffectError, match="outside the task") as refused:
        manifest.check_labels(manifest.read(good), "emotion", allowed=["glad"])
    assert "validate" not in str(refused.value)
    with pytest.raises(AffectError) as refused:
        manifest.write([{**row, "vidoe": "x"}], tmp_path / "other.jsonl")
    assert "validate" not in str(refused.value)
