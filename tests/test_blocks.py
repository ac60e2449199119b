"""Every block of code of the pages is run, composed or type-checked: none can rot.

Commands are read by test_readme_commands.py, and what a first hour takes is run there; those of
evaluation run in test_scoring_commands.py and test_eval_commands.py; docs/extend.md is followed
to the letter by test_extend.py. Here: Python, YAML, rows and tables, and commands in sentences.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from affect_mllm import config
from affect_mllm.data.row_checks import row_problems
from affect_mllm.tools import app
from scripts.readme import commands
from tests.pages import FENCED, PAGES, ROOT, all_blocks, blocks, spans
from tests.published import extras
from tests.test_readme_commands import PAGES as READ

LANGUAGES = {"bash", "python", "yaml", "json", "csv", "text"}
STAGE = "affect_mllm.train.plan.stage.Stage"
COMMAND = re.compile(r"^(?:python|affect-mllm|torchrun|pip install) ")
SAID = [(page.name, span) for page in PAGES for span in spans(page) if COMMAND.match(span)]
YAML = all_blocks("yaml")
# A number with its interval, a speed, a size, a ratio, a share in a table; and what measures them.
MEASURED = re.compile(r"\d \[\d|tokens/s|\d (?:GiB|GB|MB|times)\b|^\|.*\| \*{0,2}0\.\d{3}\b", re.M)
MEASURING = re.compile(r"(?:python|affect-mllm|torchrun|make|train\.py|eval\.py) [\w./-]")


def test_every_block_has_a_language_that_is_checked() -> None:
    for page in PAGES:
        known = LANGUAGES | ({"markdown"} if page.name == "extend.md" else set())
        assert {language for language, _ in blocks(page)} <= known, page.name


def test_the_commands_of_every_page_are_read() -> None:
    with_commands = {page for page in PAGES if any(commands(page))}
    assert with_commands - {ROOT / "docs/extend.md"} <= set(READ)


def test_python_has_the_names_and_types_that_it_uses(tmp_path: Path) -> None:
    found = all_blocks("python")
    assert len(found) >= 3
    for number, (page, text) in enumerate(found):
        (tmp_path / f"{Path(page).stem}_{number}.py").write_text(text, encoding="utf-8")
    done = checked_types(tmp_path)
    assert done.returncode == 0, done.stdout


def test_python_that_asks_for_what_is_not_there_is_seen(tmp_path: Path) -> None:
    text = "import affect_mllm\n\naffect_mllm.load('a').asks(['clip.mp4'], 'Which?')\n"
    (tmp_path / "wrong.py").write_text(text)
    done = checked_types(tmp_path)
    assert done.returncode == 1
    assert "asks" in done.stdout


def checked_types(folder: Path) -> subprocess.CompletedProcess[str]:
    """Pyright's judgement of the folder's files, which import the project."""
    settings = {"include": ["."], "extraPaths": [str(ROOT)], "reportPrivateImportUsage": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    return subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", str(folder)],
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
    )


def check_yaml(text: str, folder: Path) -> None:
    """Compose a block as a file of the group that it is of, and check it; raises ConfigError."""
    node = yaml.safe_load(text)
    group = "data" if "instructions" in node else "benchmark" if "question" in node else "stage"
    if group == "stage":
        text = f"_target_: {STAGE}\n_partial_: true\n{text}"
    path = folder / group / "block.yaml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    given = ["experiment=demo", f"+{group}@block=block", f"hydra.searchpath=[{folder}]"]
    cfg = config.compose("train", given)
    config.check(cfg.block)
    assert cfg.block.keys() >= node.keys() - {"defaults"}


@pytest.mark.parametrize(("page", "text"), YAML, ids=[f"{p}-{n}" for n, (p, _) in enumerate(YAML)])
def test_yaml_composes_and_fits_the_classes_it_names(page: str, text: str, tmp_path: Path) -> None:
    check_yaml(text, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "best: {_target_: affect_mllm.train.plan.stage.Best, metrics: val/loss}",
        "loses: {lm: {_target_: affect_mllm.train.loss.token.TokenLoss}}",
        "defaults: [/instruction@instructions.label: closed_labels]\ninstructions: {}",
    ],
)
def test_yaml_that_would_be_refused_is_seen(text: str, tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError):
        check_yaml(text, tmp_path)


def test_rows_and_tables_are_whole() -> None:
    for page, text in all_blocks("json"):
        assert not list(row_problems(json.loads(text))), page
    for page, text in all_blocks("csv"):
        rows = list(csv.reader(text.splitlines()))
        assert len(rows) > 1, page
        assert {len(row) for row in rows} == {len(rows[0])}, page


def check_span(command: str) -> None:
    """A command in a sentence: its program is there and has the options; values may be left out."""
    words = shlex.split(command)
    options = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
    if words[:2] == ["pip", "install"]:
        assert set(re.findall(r"affect-mllm\[(\w+)\]", command)) <= extras()
    elif words[0] == "affect-mllm" and words[1] in app.COMMANDS:
        known = app.COMMANDS[words[1]]
        if not known.raw:
            group: Any = typer.main.get_command(app.build(words[1]))
            assert options <= {
                name for each in group.commands[words[1]].params for name in each.opts
            }
    elif words[0] == "affect-mllm":
        assert words[1:] == ["--help"]
    elif words[0] == "python":
        path = Path(words[2].replace(".", "/") + ".py") if words[1] == "-m" else Path(words[1])
        text = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else ""
        assert text or (ROOT / path).is_dir(), path
        assert all(each[2:] in text or each[2:].replace("-", "_") in text for each in options)


@pytest.mark.parametrize(("page", "command"), SAID, ids=[f"{p}-{c}" for p, c in SAID])
def test_commands_in_sentences_are_there(page: str, command: str) -> None:
    check_span(command)


def without_command(page: str) -> list[str]:
    """The headings of sections that have what was measured and no command that measures it."""
    chapters = re.split(r"^#{2,3} ", page, flags=re.M)
    return [
        each.partition("\n")[0]
        for each in chapters
        if MEASURED.search(FENCED.sub("", each)) and not MEASURING.search(each)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_was_measured_stands_beside_a_command(page: Path) -> None:
    if page.name != "CHANGELOG.md":  # what it says is measured on the pages
        assert without_command(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "figure", ["0.87 [0.83, 0.90]", "181.5 tokens/s", "4.4 GiB", "1.98 times", "\n\n| a | 0.903 |"]
)
def test_a_figure_without_a_command_is_seen(figure: str) -> None:
    said = f"# A\n\nWords.\n\n## B\n\n`make bench`\n\n### C\n\nIt was {figure}.\n"
    assert without_command(said) == ["C"]
    assert without_command(f"{said}\nBy `python benchmarks/padding.py`.\n") == []


@pytest.mark.parametrize(
    "command",
    [
        "python benchmarks/paddings.py",
        "python benchmarks/rollouts.py --answerz 2",
        "affect-mllm probes CUED",
        "affect-mllm cues MANIFEST --upon CUED",
        "pip install 'affect-mllm[deepsped]'",
    ],
)
def test_a_command_in_a_sentence_that_is_not_there_is_seen(command: str) -> None:
    with pytest.raises((AssertionError, IndexError)):
        check_span(command)
