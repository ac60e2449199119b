"""docs/extend.md is followed to the letter: its files, its commands, no other edit."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/extend.md").read_text(encoding="utf-8")
FILE = re.compile(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", re.M | re.S)
ROW = re.compile(r"^A row of the table in `docs/data.md`:\n\n```markdown\n(.*?)^```$", re.M | re.S)
HELD = re.compile(r"^A row of its table of [^\n]*:\n\n```markdown\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^```bash\n(.+?)\n```$", re.M | re.S)
# What a chapter may edit: the files of the component, besides fixtures and YAML.
FREE = (".yaml", ".json")
CHAPTERS = [each for each in re.split(r"^## ", PAGE, flags=re.M) if FILE.search(each)]


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> Path:
    """A copy of the project with the page's files and the row in it."""
    copy = tmp_path_factory.mktemp("extended")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("affect_mllm", "conf", "tests", "docs", "scripts", "data_recipes"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "train.py"):
        shutil.copy(ROOT / name, copy)
    for name, text in FILE.findall(PAGE):
        assert not (copy / name).exists(), f"{name} is part of the project already"
        (copy / name).write_text(text, encoding="utf-8")
    (row,) = ROW.findall(PAGE)
    table = copy / "docs/data.md"
    head, rest = table.read_text(encoding="utf-8").split("| `conversations` |", 1)
    (held,) = HELD.findall(PAGE)
    before, after = rest.split("| `conversations` |", 1)  # the same place in the second table
    text = f"{head}{row}| `conversations` |{before}{held}| `conversations` |{after}"
    table.write_text(text, encoding="utf-8")
    return copy


def run(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def commands(first: str) -> list[list[str]]:
    lines = [shlex.split(line) for text in COMMAND.findall(PAGE) for line in text.splitlines()]
    return [words for words in lines if words[0] == first]


def test_each_chapter_edits_two_files_at_most_besides_fixtures_and_yaml() -> None:
    assert len(CHAPTERS) == 6
    for chapter in CHAPTERS:
        files = [name for name, _ in FILE.findall(chapter) if not name.endswith(FREE)]
        edited = [name for name in files if not name.startswith("tests/")] + ROW.findall(chapter)
        assert len(edited) <= 2, edited


def test_the_table_is_made_and_the_contract_tests_pick_everything_up(followed: Path) -> None:
    """The page's lines of pytest at once: what they select together, each by its own names."""
    for words in commands("python"):
        if words[1].startswith("scripts/"):
            assert run(followed, *words[1:]).returncode == 0
    lines = commands("pytest")
    files = sorted({word for words in lines for word in words[1:] if word.endswith(".py")})
    names = [words[words.index("-k") + 1] for words in lines]
    done = run(followed, "-m", "pytest", *files, "-k", " or ".join(names), "-rA")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.findall(r"^PASSED (\S+)", done.stdout, re.M)
    for words in lines:
        name = words[words.index("-k") + 1].split(" or ")[0]
        for file in (word for word in words[1:] if word.endswith(".py")):
            if "test_tables" not in file:
                assert any(file in each and name in each for each in passed), (file, name)
    assert any("test_each_recipe_has_its_row" in each for each in passed)
    assert sum("test_tables" in each for each in passed) == 2


def test_the_experiment_with_the_encoder_checks(followed: Path) -> None:
    (line,) = [words for words in commands("python") if words[1] == "train.py"]
    code = (
        "import sys; from affect_mllm import config\n"
        "cfg = config.checked(config.compose('train', sys.argv[1:]))\n"
        "print(cfg.model.encoders.audio._target_, cfg.stages.align.trainable.audio.match)"
    )
    done = run(followed, "-c", code, *line[2:])
    assert done.returncode == 0, done.stderr[-2000:]
    assert "mel_conv.MelConv" in done.stdout
    assert r"encoders\.audio" in done.stdout


def test_the_experiment_of_the_page_can_be_made_tiny(followed: Path, tmp_path: Path) -> None:
    lines = commands("affect-mllm")
    assert [words[1] for words in lines] == ["tiny", "tiny"]
    assert "demo_moods" in lines[1]
    code = "from affect_mllm.tools.app import main; main()"
    done = run(followed, "-c", code, "tiny", str(tmp_path), *lines[1][3:])
    assert done.returncode == 0, done.stderr[-2000:]
    assert "train experiment=tiny_demo_moods" in done.stdout


def test_one_faulty_yaml_does_not_end_the_collection(followed: Path) -> None:
    wrong = followed / "conf/benchmark/wrong.yaml"
    wrong.write_text("name: wrong\nlevels: [")
    try:
        done = run(followed, "-m", "pytest", "--collect-only", "tests/contracts/test_benchmarks.py")
    finally:
        wrong.unlink()
    assert done.returncode == 0, done.stdout[-2000:]
