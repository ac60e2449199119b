"""`affect-mllm recipe NAME …`: the recipes of data_recipes/, also those that came in the wheel."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from affect_mllm.config import recipes_dir
from affect_mllm.tools.examples import example
from affect_mllm.types import ConfigError, ExitCode

_WRITTEN = ": `python "  # before the command, in the first line of a recipe


def main(arguments: Sequence[str]) -> ExitCode:
    """List the recipes, or let the one that is named take this process's place.

    Its exit code and what signals do to it are then its own. Raises ConfigError for an unknown one.
    """
    if arguments and arguments[0] not in ("-h", "--help"):
        script = path_of(arguments[0])
        os.execv(sys.executable, [sys.executable, str(script), *arguments[1:]])
    print(listing())
    return ExitCode.DONE


def names() -> list[str]:
    """The recipes' names; the other scripts of the folder are what they share."""
    scripts = recipes_dir().glob("*.py")
    return sorted(path.stem for path in scripts if 'if __name__ == "__main__":' in path.read_text())


def path_of(name: str) -> Path:
    """The script of the recipe `name`. Raises ConfigError where there is none."""
    known = names()
    if name in known:
        return recipes_dir() / f"{name}.py"
    near = get_close_matches(name, known, 1)
    raise ConfigError(
        "recipe",
        f"no recipe {name!r}",
        expected="one that `affect-mllm recipe` lists",
        fix=f"{near[0]} is there: was it meant?" if near else "correct the name",
    )


def listing() -> str:
    """A line for each recipe: its name, what it makes a manifest of, and what it has to be told."""
    width = max(map(len, names()))
    return "\n".join(
        [
            "affect-mllm recipe NAME FOLDER    a manifest of what a publisher distributes",
            "affect-mllm recipe NAME --help    its own choices",
            "",
            *(f"{name:{width}}  {_title(recipes_dir() / f'{name}.py')}" for name in names()),
            "",
            "Each prints licence and access first. Faces and voices are personal data.",
            "",
            example("recipe"),
        ]
    )


def _title(script: Path) -> str:
    """The first line of a recipe, without the command that it repeats."""
    said = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    title, _, command = said.partition("\n")[0].partition(_WRITTEN)
    told = command.partition(" ")[2].replace("`", "").rstrip(".")
    return f"{title.removesuffix(' → manifest')}{f': {told}' if told else ''}"
