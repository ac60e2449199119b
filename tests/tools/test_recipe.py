"""`affect-mllm recipe`: lists every recipe in a line, and runs one as its script would be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from affect_mllm.tools import recipe
from affect_mllm.tools.app import main
from affect_mllm.types import ConfigError
from tests.recipes.makers import MAKERS

RECIPES = Path(__file__).parents[2] / "data_recipes"
RUN = "import sys; from affect_mllm.tools.app import main; main(['recipe', *sys.argv[1:]])"


def process(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_every_recipe_has_its_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["recipe", *words])
    assert left.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for name in (*MAKERS, "synthetic"):
        (line,) = (each for each in lines if each.partition(" ")[0] == name)
        assert len(line.split(maxsplit=1)[1]) > 4


def test_listing_imports_no_recipe_and_nothing_heavy() -> None:
    code = (
        "import sys; from affect_mllm.tools.recipe import listing; listing()\n"
        "print(*(name for name in sys.modules if '.' not in name))"
    )
    loaded = set(process("-c", code).stdout.split())
    assert not {*MAKERS, "recipe", "commandline", "torch", "numpy", "pydantic"} & loaded


@pytest.mark.parametrize("words", [["meld", "no-such-folder"], ["meld"], ["pope", "--help"]])
def test_it_is_the_script_of_that_name(words: list[str]) -> None:
    ours = process("-c", RUN, *words)
    script = process(str(RECIPES / f"{words[0]}.py"), *words[1:])
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        script.returncode,
        script.stdout,
        script.stderr,
    )


@pytest.mark.parametrize("name", ["meldd", "recipe", "commandline", "readers", "../train", ""])
def test_what_is_no_recipe_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)no recipe {name!r}.*`affect-mllm recipe` lists"):
        recipe.path_of(name)


def test_a_slip_is_told_what_was_meant() -> None:
    with pytest.raises(ConfigError, match="meld is there: was it meant"):
        recipe.path_of("meldd")
