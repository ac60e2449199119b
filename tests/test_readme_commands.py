"""Published commands: all are understood, and what a first hour takes runs on tiny outputs."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer

from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.tools import app
from scripts.readme import LEFT, ROOT, commands, left, shortened
from tests import tiny_vlm
from tests.eval import runs
from tests.media import clips
from tests.tools.exports import checkpoint

README = ROOT / "README.md"
# extend.md's are about files that its reader writes: test_extend.py follows it to the letter.
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *(page for page in DOCS if page.stem != "extend")]
PUBLISHED = [(page.name, command) for page in PAGES for command in commands(page)]
LAUNCHERS = re.compile(
    r"^(?:\w+=\S+ )?(?:torchrun|accelerate launch)\b.*?(?=(?:train|eval)\.py|-m )"
)
OURS = ("affect-mllm", "python", "make")
USAGE = typer.BadParameter.__mro__[1]  # the UsageError of the click that typer brings


def understood(command: str) -> None:
    """Parse a command by what would read it; raises where that would refuse it."""
    words = shlex.split(command)
    if words[:3] == ["python", "-m", "affect_mllm.tools.app"]:
        words = ["affect-mllm", *words[3:]]
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(words[1:]) - {"|"} <= set(targets)
    elif words[0] == "python" and words[1].startswith("data_recipes/"):
        recipe: Any = importlib.import_module(Path(words[1]).stem).APP
        typer.main.get_command(recipe).make_context(words[1], words[2:])
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


def composed(name: str, words: list[str]) -> None:
    given = [word for word in words if word not in ("-m", "--help")]
    sweeps = "-m" in words
    config.checked(config.compose(name, [re.sub(",.*", "", w) if sweeps else w for w in given]))


@pytest.fixture(autouse=True)
def _recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "data_recipes")


@pytest.mark.parametrize(("page", "command"), PUBLISHED, ids=[c for _, c in PUBLISHED])
def test_every_published_command_is_understood(page: str, command: str) -> None:
    plain = LAUNCHERS.sub("python ", command)
    if plain.startswith(OURS):
        understood(plain)
    else:
        assert command.startswith((". ", "sbatch ")), "written as nobody could type it"


def eight_gpus() -> dict[str, list[str]]:
    """Each experiment's settings in docs/training.md, "Eight GPUs"."""
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    rows = text.split("### Eight GPUs")[1].split("\n\nRates")[0].splitlines()
    cells = [[cell.strip(" `") for cell in row.split("|")] for row in rows if row.startswith("| `")]
    return {row[1]: shlex.split(row[3]) for row in cells}


@pytest.mark.parametrize("experiment", sorted(eight_gpus()))
def test_the_settings_for_eight_gpus_give_each_of_them_an_example(experiment: str) -> None:
    cfg = config.compose("train", [f"experiment={experiment}", *eight_gpus()[experiment]])
    config.checked(cfg)
    assert all(stage.batch_size % 8 == 0 for stage in cfg.stages.values())
    alone = config.compose("train", [f"experiment={experiment}"])
    drawn = [[s.batch_size * s.steps for s in c.stages.values()] for c in (cfg, alone)]
    assert drawn[0] == drawn[1], "as many examples as alone"


@pytest.mark.parametrize(
    "command",
    [
        "affect-mllm predict clip.mp4 --subtitel auto",
        "affect-mllm export outputs/demo/train/instruct/final",
        "python train.py experiment=demo stages.instrct.steps=50",
        "python train.py experiment=affectgtp launch=ddp",
        "make dmeo",
    ],
)
def test_a_command_that_would_be_refused_is_seen(command: str) -> None:
    with pytest.raises((USAGE, config.ConfigError, AssertionError)):
        understood(command)


def test_what_is_left_out_of_make_readme_is_there_and_the_rest_is_made_short() -> None:
    published = list(commands(README))
    assert all(any(re.search(form, each) for each in published) for form in LEFT)
    run = [shortened(each) for each in published if left(each) is None]
    assert sum("train.py" in each for each in run) >= 5
    for each in run:
        if "train.py" in each and "--help" not in each:
            assert "dry_run=true" in each or re.search(r"stages\.\w+\.steps=2\b", each)
            understood(LAUNCHERS.sub("python ", each))


@pytest.fixture
def outputs(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the demo leaves, of tiny parts, and with the README's own clips."""
    demo = tmp_path / "outputs/demo"
    (tmp_path / "scored").mkdir()
    shutil.copytree(runs.make_run(tmp_path / "scored"), demo)
    checkpoint(demo / "train/instruct/final", tiny.cfg)
    rows = list(manifest.read(tiny.root / "manifest.jsonl"))
    (demo / "corpus").mkdir()
    shutil.copytree(tiny.root / "clips", demo / "corpus/clips")
    shutil.copy(tiny.root / "manifest.jsonl", demo / "corpus/manifest.jsonl")
    said = [{"id": row.id, "response": "happy"} for row in rows if row.split == "test"]
    path = demo / "eval/synthetic/face.predictions.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in said))
    shutil.copytree(tiny.root / "clips", tmp_path / "clips")
    table = [f"{Path(row.media['video']).name},{row.labels['emotion']}" for row in rows[3:]]
    (tmp_path / "clips.csv").write_text("\n".join(["file,emotion", *table]) + "\n")
    clips.make_video(tmp_path / "clip.mp4", frames=12, sound_s=0.5)
    clips.make_image(tmp_path / "photo.png")
    tiny_vlm.build(tiny, tmp_path).rename(tmp_path / "FOLDER")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SHORT = [
    each
    for each in commands(README)
    if re.match(r"affect-mllm (?!import|cache|estimate|spread)", each) and "MELD" not in each
]


def test_the_readmes_short_commands_run_in_order_on_tiny_outputs(
    outputs: Path, assets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {each.split()[1] for each in SHORT} >= {
        "predict", "validate", "score", "report", "train", "manifest", "export", "describe"
    }  # fmt: skip
    for command in SHORT:
        with pytest.raises(SystemExit) as leave:
            app.main(shlex.split(command)[1:])
        assert not leave.value.code, f"{command}\n{capsys.readouterr().err}"
    made = ("outputs/hf/model.safetensors", "outputs/demo/report.html", "clips/manifest.jsonl")
    assert all((outputs / name).is_file() for name in made)
