"""Published commands, read by what would read them: our own parsers, torchrun's, docker's words."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer

from affect_mllm import config
from affect_mllm.eval.suite_run import Told
from affect_mllm.tools import app
from scripts.readme import ROOT

LAUNCHERS = re.compile(
    r"^(?:\w+=\S+ )?(?:torchrun|accelerate launch)\b.*?(?=(?:train|eval)\.py|-m )"
)
OURS = ("affect-mllm", "python", "make")
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")


def understood(command: str) -> None:
    """Parse a command by what would read it; raises where that would refuse it."""
    words = shlex.split(command)
    if words[0] == "torchrun":
        launched(words[1:])
    words = shlex.split(LAUNCHERS.sub("python ", command))
    if words[0] == "docker":
        return dockers(words[1:])
    if words[:3] == ["python", "-m", "affect_mllm.tools.app"]:
        words = ["affect-mllm", *words[3:]]
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        given = [word for word in words[1:] if not re.fullmatch(r"[A-Z]+=.*", word)]
        assert set(given) - {"|"} <= set(targets)
    elif words[0] == "python" and words[1].startswith("data_recipes/"):
        recipe(Path(words[1]).stem, words[2:])
    elif words[:2] == ["affect-mllm", "recipe"]:
        recipe(words[2], words[3:])
    elif words[0] == "python":
        composed(Path(words[1]).stem, words[2:])
    elif words[2:] == ["--help"]:
        assert words[1] in app.COMMANDS
    elif words[1] in ("train", "eval"):
        composed(words[1], words[2:])
    else:
        group: Any = typer.main.get_command(app.build(words[1]))
        group.commands[words[1]].make_context(words[1], words[2:])
        overrides = [word for word in words[2:] if "=" in word]
        if any(word.startswith("experiment=") for word in overrides):
            composed("train", overrides)
    return None


def recipe(name: str, words: Sequence[str]) -> None:
    """Parse a recipe's words by its own command line."""
    app: Any = importlib.import_module(name).APP
    typer.main.get_command(app).make_context(name, list(words))


def composed(name: str, words: Sequence[str]) -> None:
    """Compose and check `conf/NAME.yaml` with these overrides, the first of those swept over."""
    if told := Told.of(words):  # a suite is asked benchmark by benchmark, with the other words
        words = [f"benchmark={next(iter(told.suite.asked))}", "manifest=FILE", *told.rest]
    given = [word for word in words if word not in ("-m", "--help")]
    sweeps = "-m" in words
    config.checked(config.compose(name, [re.sub(",.*", "", w) if sweeps else w for w in given]))


def launched(words: Sequence[str]) -> Any:
    """torchrun's own LaunchConfig for these words; ValueError for an option it does not have."""
    from torch.distributed import run

    try:
        return run.config_from_args(run.parse_args(list(words)))[0]
    except SystemExit as left:
        raise ValueError(f"torchrun refuses {shlex.join(words)}") from left


class Words(argparse.ArgumentParser):
    """A parser that raises instead of leaving."""

    def error(self, message: str) -> NoReturn:
        """Raise ValueError with what was wrong."""
        raise ValueError(message)


def dockers(words: Sequence[str]) -> None:
    """Check `docker build` and what a `docker run` runs; ValueError for an unknown option."""
    if words[0] == "run":
        return understood(shlex.join(inside(docker_run(words))))
    parser = Words(prog="docker", allow_abbrev=False)
    parser.add_argument("verb", choices=["build"])
    parser.add_argument("-f", required=True)
    parser.add_argument("-t", required=True)
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("context", choices=["."])
    given = parser.parse_args(words)
    assert (ROOT / given.f).is_file()
    arguments = dict(each.split("=", 1) for each in given.build_arg)
    assert arguments.keys() <= set(re.findall(r"^ARG (\w+)=", DOCKERFILE, re.M))
    assert set(filter(None, arguments.get("EXTRAS", "").split(","))) <= extras()
    return None


def extras() -> set[str]:
    """The names of the optional dependencies of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return set(project["project"]["optional-dependencies"])


def docker_run(words: Sequence[str]) -> argparse.Namespace:
    """The options that our pages give `docker run`, as docker's reference has them."""
    parser = Words(prog="docker", allow_abbrev=False)
    parser.add_argument("verb", choices=["run"])
    parser.add_argument("--rm", action="store_true")
    parser.add_argument("--stop-timeout", type=int, default=10)
    for name in ("--gpus", "--shm-size", "--entrypoint", "--network"):
        parser.add_argument(name)
    parser.add_argument("-v", action="append", default=[])
    parser.add_argument("-e", action="append", default=[])
    parser.add_argument("image")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args(words)


def inside(given: argparse.Namespace) -> list[str]:
    """The command line that a container of such a `docker run` begins with."""
    entry = re.search(r'^ENTRYPOINT \["(.+)"\]$', DOCKERFILE, re.M)
    assert entry is not None
    return [given.entrypoint or entry[1], *given.command]
