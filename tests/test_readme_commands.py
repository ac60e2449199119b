"""Published commands: all are understood, and what a first hour takes runs on tiny outputs."""

from __future__ import annotations

import ast
import json
import re
import runpy
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer

from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.tools import app
from scripts.readme import LEFT, ROOT, commands, left, published, shortened
from tests import tiny_vlm
from tests.eval import runs
from tests.media import clips
from tests.pages import PAGES as ALL
from tests.published import (
    DOCKERFILE,
    LAUNCHERS,
    OURS,
    composed,
    docker_run,
    extras,
    inside,
    understood,
)
from tests.tools.exports import checkpoint

README = ROOT / "README.md"
# extend.md's are about files that its reader writes: test_extend.py follows it to the letter.
PAGES = [page for page in ALL if page.stem != "extend"]
PUBLISHED = [(page.name, command) for page in PAGES for command in commands(page)]
# What only another package understands; a test runs the part of it that is ours.
OTHERS = ("pip install ", "python -m lmms_eval ")
CLUSTERS = ("kubectl apply -f ", "sky volumes apply ", "sky jobs launch ")
FIRST = published()  # what `make readme` runs
OF_THE_DEMO = re.compile(r"experiment=|run_dir=|data\.(manifest|cache_dir)=|stages\.")
USAGE = typer.BadParameter.__mro__[1]  # the UsageError of the click that typer brings


@pytest.fixture(autouse=True)
def _recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "data_recipes")


@pytest.mark.parametrize(("page", "command"), PUBLISHED, ids=[c for _, c in PUBLISHED])
def test_every_published_command_is_understood(page: str, command: str) -> None:
    if command.startswith(OTHERS):
        assert "affect_mllm" in command or "pip" in command
        assert set(re.findall(r"\.\[(\w+)\]", command)) <= extras()
    elif LAUNCHERS.sub("python ", command).startswith((*OURS, "docker ")):
        understood(command)
    elif command.startswith("sbatch "):
        _, script, overrides = command.partition("scripts/train.sbatch ")
        assert script
        composed("train", overrides.split())
    elif command.startswith(CLUSTERS):
        assert (ROOT / command.split()[-1]).is_file()
    else:
        script = command.split()[0]
        assert script == "." or (ROOT / script).is_file(), "written as nobody could type it"


def eight_gpus() -> dict[str, tuple[list[str], str]]:
    """Each experiment's settings in docs/training.md, "Eight GPUs", and the update they make."""
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    rows = text.split("### Eight GPUs")[1].split("\n\nRates")[0].splitlines()
    cells = [[cell.strip(" `") for cell in row.split("|")] for row in rows if row.startswith("| `")]
    return {row[1]: (shlex.split(row[3]), row[4]) for row in cells}


def an_update(cfg: Any) -> str:
    """GPUs × examples × passes; rates; precision; what is checkpointed, as the table has it."""
    (batch,) = {stage.batch_size for stage in cfg.stages.values()}
    passes = cfg.launch.micro_batches
    rates = {group.lr for stage in cfg.stages.values() for group in stage.trainable.values()}
    again = ", ".join(cfg.speed.gradient_checkpointing) or "none"
    said = ", ".join(f"{rate:g}" for rate in sorted(rates))
    return f"8 × {batch // 8 // passes} × {passes}; {said}; {cfg.launch.precision}; {again}"


def test_every_experiment_but_the_small_ones_has_settings_for_eight_gpus() -> None:
    there = {path.stem for path in (ROOT / "conf/experiment").glob("*.yaml")}
    assert there - set(eight_gpus()) == {"demo", "demo_reinforce", "own_clips", "people"}


def test_what_each_of_them_takes_stands_below_and_in_the_benchmark() -> None:
    """By `benchmarks/fits.py`; none of its rows in docs says that it does not fit."""
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    rows = text.split("| experiment | stage | clips at a time |")[1].split("\n\n")[0]
    table = {row.split("`")[1].split()[0] for row in rows.splitlines() if row.startswith("| `")}
    cases = runpy.run_path(str(ROOT / "benchmarks/fits.py"))["CASES"]
    assert table == {case.split()[0] for case in cases} == set(eight_gpus())
    sizes = [float(row.split("|")[5]) for row in rows.splitlines() if row.startswith("| `")]
    assert max(sizes) < 72.5


@pytest.mark.parametrize("experiment", sorted(eight_gpus()))
def test_the_settings_for_eight_gpus_give_each_of_them_an_example(experiment: str) -> None:
    settings, update = eight_gpus()[experiment]
    cfg = config.compose("train", [f"experiment={experiment}", *settings])
    config.checked(cfg)
    assert an_update(cfg) == update
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
        "docker build -f docker/Dockerfile -t affect-mllm --build-arg EXTRAS=deepsped .",
        "docker run --rm --gpu all affect-mllm assets",
        "docker run --rm affect-mllm asets",
        "torchrun --nproc_per_nodes 8 train.py experiment=demo",
    ],
)
def test_a_command_that_would_be_refused_is_seen(command: str) -> None:
    with pytest.raises((USAGE, config.ConfigError, AssertionError, ValueError, KeyError)):
        understood(command)


def test_what_is_left_out_of_make_readme_is_there_and_the_rest_is_made_short() -> None:
    assert all(any(re.search(form, each) for each in FIRST) for form in LEFT)
    run = [shortened(each) for each in FIRST if left(each) is None]
    assert sum("train.py" in each for each in run) >= 5
    for each in run:
        if "train.py" in each and "--help" not in each:
            assert "dry_run=true" in each or re.search(r"stages\.\w+\.steps=2\b", each)
            understood(each)


def test_a_training_in_a_container_has_gpus_memory_to_share_and_what_it_keeps_mounted() -> None:
    runs = [docker_run(each.split()[1:]) for _, each in PUBLISHED if each.startswith("docker run")]
    trainings = [run for run in runs if inside(run)[0] == "torchrun"]
    assert trainings
    for run in trainings:
        mounted = {each.split(":")[1] for each in run.v}
        places = [word.split("=/")[1].split("/")[0] for word in run.command if "=/" in word]
        assert {f"/{each}" for each in places} <= mounted >= {"/data", "/cache", "/runs"}
        assert run.gpus == "all"
        assert run.shm_size
        assert run.stop_timeout > int(re.findall(r"SHUTDOWN_TIMEOUT=(\d+)", DOCKERFILE)[0])


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
    moods = ("boredom", "焦虑", "contempt")
    table = [f"{Path(row.media['video']).name},{moods[at % 3]},{at}"
             for at, row in enumerate(rows[3:])]  # fmt: skip
    (tmp_path / "clips.csv").write_text("\n".join(["file,mood,stress", *table]) + "\n")
    clips.make_video(tmp_path / "clip.mp4", frames=12, sound_s=0.5)
    clips.make_image(tmp_path / "photo.png")
    tiny_vlm.build(tiny, tmp_path).rename(tmp_path / "FOLDER")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SHORT = [
    each
    for each in FIRST
    if re.match(r"affect-mllm (?!import|cache|estimate|spread)", each)
    and not re.search("MELD|own_clips", each)
]
# A table of one's own, from the CSV to the report.
OWN = [each for each in commands(ROOT / "docs/own_clips.md") if re.search("csv|own_clips", each)]


def test_the_short_commands_run_in_order_on_tiny_outputs(
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


def test_the_readmes_python_runs_on_tiny_outputs(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    exec(compile(code, "README.md", "exec"), {})
    *answers, shares = capsys.readouterr().out.splitlines()
    assert "'frame', 'audio'" in answers[0]
    assert "'image'" in answers[-1]
    assert sum(ast.literal_eval(shares).values()) == pytest.approx(1)


def test_the_commands_for_clips_of_ones_own_run_at_tiny_size(
    outputs: Path, tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [each.split()[1] for each in OWN] == [
        "manifest", "train.py", "eval.py", "eval.py", "report", "predict", "train.py"
    ]  # fmt: skip
    assert {each for each in commands(README) if "own_clips" in each} <= set(OWN)
    for command in OWN:
        words = shlex.split(command)[1:]
        if words[0] in ("train.py", "eval.py"):
            words[0] = words[0].removesuffix(".py")
        if words[0] == "train":
            words += [each for each in tiny.overrides(outputs) if not OF_THE_DEMO.match(each)]
            words += ["stages.instruct.steps=1", "stages.instruct.batch_size=2"]
            words += ["stages.perceive.steps=2", "model.encoders.audio.layers=[0,1,2]"]
        if words[0] == "eval":
            words += ["max_new_tokens=3"]
        with pytest.raises(SystemExit) as leave:
            app.main(words)
        assert not leave.value.code, f"{command}\n{capsys.readouterr().err}"
    runs = json.loads((outputs / "outputs/own_clips/results.json").read_text())["runs"]
    assert runs["own_clips"]["task"]["labels"] == ["boredom", "contempt", "焦虑"]
    assert runs["own_clips_stress"]["task"]["high"] == 10
    assert (outputs / "outputs/own_clips/report.html").is_file()
