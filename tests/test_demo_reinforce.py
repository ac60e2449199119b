"""`scripts/demo_reinforce.py` at tiny size: each stage, both questions, an equal cost."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from affect_mllm.data import manifest
from affect_mllm.types import ExitCode
from tests.processes import started, wait_until

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        import demo_reinforce  # type: ignore[import-not-found]

        yield demo_reinforce
        sys.modules.pop("demo_reinforce")


def given(tiny, rows: Path) -> list[str]:
    """Tiny parts in place of the demo's, two steps a stage."""
    kept = ("model.", "+model.", "data.", "launch.")
    parts = [each for each in tiny.overrides(Path("unused")) if each.startswith(kept)]
    stages = ("cold_start", "reinforce", "control")
    return [
        *parts,
        f"data.manifest={rows}",
        *(f"stages.{stage}.batch_size=2" for stage in stages),
        *(f"stages.{stage}.steps=2" for stage in stages[:2]),
        "stages.reinforce.rollout.answers=2",
        "stages.reinforce.rollout.max_new_tokens=4",
    ]


@pytest.fixture(scope="module")
def out(tiny, tiny_run, script, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reinforced")
    rows = folder / "manifest.jsonl"
    held_out = [replace(s, split="val" if s.split == "test" else s.split) for s in tiny.samples]
    manifest.write(held_out, rows, media_root=tiny.root)
    train = [f"--train={each}" for each in given(tiny, rows)]
    ask = [f"--manifest={rows}", "--every=2", "--ask=max_new_tokens=4"]
    app = script.typer.Typer()
    app.command()(script.main)
    told = [
        str(tiny_run / "instruct/final"),
        f"--out={folder / 'out'}",
        "--seeds=3 5",
        *train,
        *ask,
    ]
    found = CliRunner().invoke(app, told, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    assert (folder / "out/table.md").read_text() in found.output
    chosen = sorted(sample.id for sample in held_out if sample.split == "val")
    asked = [sample.id for sample in manifest.read(folder / "out/held_out.jsonl")]
    assert asked == chosen[::2]
    for part in ("before", "seed3", "seed5"):
        assert f"{folder / 'out' / part}: done" in found.output
        assert "synthetic_reasoned" in (folder / "out" / part / "said.txt").read_text()
    return folder / "out"


def test_the_control_costs_what_the_rewards_cost(out, script) -> None:
    logs = {stage: script.rows(out / "seed3/train", stage) for stage in script.STAGES}
    for log in logs.values():
        spent = [row["cpu_seconds"] for row in log]
        assert spent[0] > 0
        assert spent == sorted(set(spent))
        assert [row["step"] for row in log] == [*range(1, len(log) + 1)]
    cold, rewards = (
        logs[stage][1]["cpu_seconds"] - logs[stage][0]["cpu_seconds"] for stage in script.STAGES[:2]
    )
    assert len(logs["control"]) == max(1, round(2 * rewards / cold))


def test_what_is_not_there_is_said_before_anything_starts(script, tmp_path) -> None:
    app = script.typer.Typer()
    app.command()(script.main)
    told = [str(tmp_path / "none"), f"--out={tmp_path / 'out'}", "--seeds=1"]
    found = CliRunner().invoke(app, told, catch_exceptions=False)
    assert found.exit_code == ExitCode.FAILED
    assert f"{tmp_path / 'none'}: no such folder" in found.output
    assert not (tmp_path / "out").exists()


def test_a_part_that_fails_says_why(script, tmp_path, capsys) -> None:
    part, none = tmp_path / "part", tmp_path / "none"
    with pytest.raises(script.typer.Exit) as ended:
        script.at_once({part: partial(script.asked, part, none, [])}, 1)
    assert ended.value.exit_code == ExitCode.FAILED
    said = capsys.readouterr()
    assert f"{part}: ended with 1" in said.out
    assert f"{none}: no such folder" in said.err


def test_a_part_that_is_killed_ends_all_with_what_to_do(script, tmp_path, capsys) -> None:
    with pytest.raises(script.typer.Exit) as ended:
        script.at_once({tmp_path / "part": partial(os._exit, 9)}, 1)
    assert ended.value.exit_code == ExitCode.FAILED
    assert script.BROKEN in capsys.readouterr().err


def test_the_parts_end_with_the_command_that_started_them(tmp_path) -> None:
    code = (
        f"import sys, time; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "from functools import partial; from pathlib import Path; import demo_reinforce\n"
        "demo_reinforce.at_once({Path(sys.argv[1]): partial(time.sleep, 900)}, 1)\n"
    )
    with started(["-c", code, str(tmp_path / "part")]) as command:
        wait_until(command, (tmp_path / "part/said.txt").exists)
        parts = psutil.Process(command.pid).children(recursive=True)
        command.kill()
        _, left = psutil.wait_procs(parts, timeout=120)
    assert parts
    assert not left


def test_every_checkpoint_is_asked_both_questions(out, script) -> None:
    folders = [out / "before", *(out / "seed3" / stage for stage in script.STAGES)]
    for folder in folders:
        assert [*script.by_benchmark(folder)] == [*script.BENCHMARKS]
    final = json.loads((out / "seed3/control/results.json").read_text())
    assert "control" in json.dumps(final["info"])


def test_seeds_are_joined_clip_by_clip(out, script, tmp_path) -> None:
    """Two seeds of the same answers: their values are the joined ones."""
    both = tmp_path / "both"
    shutil.copytree(out, both)
    shutil.copytree(both / "seed3", both / "seed4")
    lines = [*script.page(both, [both / "seed3", both / "seed4"])]
    heads = [n for n, line in enumerate(lines) if line.startswith("| synthetic_")]
    assert len(heads) == len(script.BENCHMARKS) * len(script.SHOWN)
    for head in heads:
        first, second, joined = (line.split(" | ") for line in lines[head + 2 : head + 5])
        assert [each[0] for each in (first, second, joined)] == [
            "| seed 3",
            "| seed 4",
            "| together",
        ]
        assert first[1:] == second[1:]
        values = [[cell.split(" ")[0] for cell in row[1:]] for row in (first, joined)]
        assert values[0] == values[1]
    assert sum(line.startswith("Step ") for line in lines) >= 2
