"""The documentation builds without a warning, and what is wrong with a page ends the build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FETCHED = re.compile(r"<(?:script|img|iframe)[^>]+src=[\"']?https?:|<link[^>]+href=[\"']?https?:")


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """`make docs` of the pages in `root`."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The pages, to be made wrong."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    return tmp_path


def test_every_page_is_there_and_fetches_nothing(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs")).with_suffix(".html").is_file()
    made = list(site.rglob("*.html"))
    assert [page for page in made if FETCHED.search(page.read_text(encoding="utf-8"))] == []
    styles = [sheet.read_text(encoding="utf-8") for sheet in site.rglob("*.css")]
    assert not any(re.search(r"(?:url\([\"']?|@import [\"'])https?:", sheet) for sheet in styles)


def test_a_link_to_a_file_of_the_project_leads_to_its_page(site: Path) -> None:
    said = (site / "reinforcement.html").read_text(encoding="utf-8")
    assert 'href="files/conf/stage/reinforce.yaml.html"' in said
    shown = (site / "files/conf/stage/reinforce.yaml.html").read_text(encoding="utf-8")
    assert "rollout" in shown
    back = (site / "files/CONTRIBUTING.html").read_text(encoding="utf-8")
    assert 'href="../design.html"' in back


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# New", 'not included in the "nav" configuration:\n  - new.md'),
        ("[a](nothing.md)", "'nothing.md', but the target is not found"),
        ("[a](../conf/nothing.yaml)", "conf/nothing.yaml"),
        ("[a](data.md#nothing)", "does not contain an anchor '#nothing'"),
        ("[a](../CONTRIBUTING.md#nothing)", "does not contain an anchor '#nothing'"),
    ],
)
def test_a_page_that_is_wrong_ends_the_build(text: str, said: str, copy: Path) -> None:
    (copy / "docs/new.md").write_text(text + "\n")
    if text != "# New":
        pages = copy / "mkdocs.yml"
        pages.write_text(pages.read_text().replace("nav:\n  -", "nav:\n  - New: new.md\n  -"))
    done = build(copy, copy / "made")
    assert done.returncode == 1
    assert said in done.stderr
