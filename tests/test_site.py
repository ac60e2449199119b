"""The documentation builds without a warning, and what is wrong with a page ends the build."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from affect_mllm import config
from affect_mllm.targets import resolve
from affect_mllm.types import CheckpointError
from scripts.site.errors import ACTIVITIES, PART, activity, messages
from scripts.site.keys import Described, described, meaning, nodes, options

ROOT = Path(__file__).parents[1]
# Errors in others' words, which say what is wanted: of each key, of a constructor, of each clip.
QUOTED = {
    "config.build", "config._plain", "config._made",
    "train/plan/stage.check_sources", "train/plan/stage.Stage.__post_init__",
    "train/plan/trainable.named",
    "tools/pipeline.Pipeline.look", "tools/pipeline.Pipeline._rows",
    "tools/lmms_eval/model.ChatModel._answers", "tools/serve/line._pass",
}  # fmt: skip
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


def test_what_is_wrong_with_a_page_ends_the_build(copy: Path) -> None:
    """A page in no menu; links to a page, a file, an anchor and a file's anchor that are not."""
    (copy / "docs/new.md").write_text(
        "# New\n\n[a](nothing.md) [a](../conf/nothing.yaml) [a](data.md#nothing)"
        " [a](../CONTRIBUTING.md#nowhere)\n"
    )
    done = build(copy, copy / "made")
    assert done.returncode == 1
    for said in ('not included in the "nav" configuration:\n  - new.md',
                 "'nothing.md', but the target is not found",
                 "conf/nothing.yaml",
                 "does not contain an anchor '#nothing'",
                 "does not contain an anchor '#nowhere'"):  # fmt: skip
        assert said in done.stderr


def test_every_key_that_a_run_has_is_on_the_page_with_its_meaning(site: Path) -> None:
    found = described()
    page = (site / "reference/keys.html").read_text(encoding="utf-8")
    for each in found.values():
        assert f"_target_: {each.path}" in page
        for option in options(each.target):
            assert meaning(option.name, each), f"{each.path}.{option.name}: say what it means"
    for experiment in ("demo", "affectgpt", "emotion_qwen", "demo_reinforce"):
        cfg = config.compose("train", [f"experiment={experiment}"])
        named = nodes(OmegaConf.to_container(cfg, resolve=False))
        assert {Described(resolve(node["_target_"])).path for node in named} <= found.keys()


def test_every_error_of_the_code_is_on_the_page_by_what_somebody_did(site: Path) -> None:
    found = list(messages())
    asked = re.compile(r"\b(?:Config|Data|Checkpoint)Error\(\s*[^)\s]")
    for path in (ROOT / "affect_mllm").rglob("*.py"):
        place = path.relative_to(ROOT / "affect_mllm").with_suffix("").as_posix()
        text = re.sub(r"class \w+\(.*", "", path.read_text(encoding="utf-8"))
        own = [each.kind for each in found if each.where.startswith(f"{place}.")]
        made = [kind for kind in own if kind not in (PART, "AffectError")]
        assert len(made) == len(asked.findall(text)), place
    page = html.unescape((site / "reference/errors.html").read_text(encoding="utf-8"))
    assert all(" ".join(each.said.split()) in page for each in found)
    assert {activity(each.where) for each in found} == ACTIVITIES.keys()
    assert page.count("Where a message says no more: ") == len(ACTIVITIES)
    assert all(each.fix in page for each in found if len(each.fix.split("\n")) == 1)


def test_an_error_that_is_raised_reads_as_on_the_page(tmp_path: Path) -> None:
    """One whose words stand in several places: names, a condition, a function's answer."""
    said = [each.said for each in messages() if each.where == "config.weights_path"]
    with pytest.raises(CheckpointError) as raised:
        config.weights_path("asset:none")
    (form,) = [re.sub(r"\\{.*?\\}", ".*", re.escape(each)) for each in said]
    assert re.match(form, str(raised.value))


def test_every_error_says_what_was_expected_or_what_to_do() -> None:
    """A recipe's are given a way out where they are printed (tests/recipes/test_recipe.py)."""
    bare = [each.where for each in messages()
            if each.kind != PART and not each.expected and not each.fix]  # fmt: skip
    assert {where for where in bare if not where.startswith("data_recipes/")} == QUOTED
