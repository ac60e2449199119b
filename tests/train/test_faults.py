"""Wrong labels, missing modalities, full disks, broken writes, wrong folders: said and survived."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from affect_mllm import config
from affect_mllm.models import checkpoint
from affect_mllm.tools import app
from affect_mllm.train.main import main
from affect_mllm.types import CheckpointError, DataError, ExitCode

STEPS = ("stage=align", "stages.align.steps=3", "stages.align.save_every=1")


def rows(run_dir: Path, stage: str) -> list[dict]:
    return [json.loads(x) for x in (run_dir / stage / "metrics.jsonl").read_text().splitlines()]


def weights(run_dir: Path) -> bytes:
    return (run_dir / "align/final" / checkpoint.WEIGHTS).read_bytes()


def test_a_label_outside_the_task_is_refused_before_any_training(tiny, tmp_path) -> None:
    """Also where only the last of three stages asks for the label."""
    shutil.copytree(tiny.root / "clips", tmp_path / "clips")
    lines = (tiny.root / "manifest.jsonl").read_text().splitlines()
    for number in (2, 5):
        row = json.loads(lines[number - 1])
        row["labels"]["emotion"] = "hapy"
        lines[number - 1] = json.dumps(row)
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(lines) + "\n")
    run_dir = tmp_path / "run"
    with pytest.raises(DataError) as refused:
        main(tiny.overrides(run_dir, f"data.manifest={path}"))
    for number in (2, 5):
        assert f"{path}:{number}" in str(refused.value)
    assert "hapy" in str(refused.value)
    assert "surprise" in str(refused.value), "says what is allowed"
    assert not list(run_dir.glob("*/metrics.jsonl"))


def test_a_question_about_what_a_clip_lacks_is_no_fault_of_the_clip(tiny, tmp_path) -> None:
    """c01 has no sound; ten rows are gone through twice."""
    more = ("stage=align", "stages.align.steps=5", "data.max_bad_fraction=0.0")
    cfg = config.compose("train", tiny.overrides(tmp_path, *more))
    OmegaConf.update(
        cfg, "stages.align.sources.data.instructions", {"describe_voice": 1}, merge=False
    )
    assert config.build(config.checked(cfg)).run() == ExitCode.DONE
    found = rows(tmp_path, "align")
    assert sum(row["unasked"] for row in found) == 2
    assert all(row["skipped"] == 0 for row in found)
    assert sum(row["examples"] for row in found) == 18


@pytest.fixture(scope="module")
def straight(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    assert main(tiny.overrides(folder, *STEPS)) == ExitCode.DONE
    return folder


def failing(error: BaseException, call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let that write of a checkpoint fail when half of it is on the disk."""
    write, calls = checkpoint.write, []

    def save(folder, *rest, **more) -> None:
        write(folder, *rest, **more)
        calls.append(folder)
        if len(calls) == call:
            half = folder / checkpoint.WEIGHTS
            half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
            (folder / "meta.json").unlink()
            raise error

    monkeypatch.setattr(checkpoint, "write", save)


@pytest.mark.parametrize(
    ("full", "call", "left"),
    [(True, 1, []), (True, 3, ["step-000002"]), (False, 3, ["step-000002"])],
    ids=["disk full at first", "disk full at last", "interrupted at last"],
)
def test_a_write_that_fails_leaves_the_checkpoint_before_it(
    tiny, straight, tmp_path, monkeypatch, capsys, full, call, left
) -> None:
    """The third write is the stage's final one."""
    command = ["train", *tiny.overrides(tmp_path, *STEPS)]
    error = OSError(errno.ENOSPC, "No space left on device") if full else KeyboardInterrupt()
    with monkeypatch.context() as patch:
        failing(error, call, patch)
        with pytest.raises(SystemExit) as leave:
            app.main(command)
    said = capsys.readouterr().err
    if full:
        assert leave.value.code == ExitCode.FAILED
        assert "the disk is full; the last complete checkpoint is kept" in said
        assert "Traceback" not in said
    else:
        assert leave.value.code == app.INTERRUPTED
    stage = tmp_path / "align"
    assert sorted(p.name for p in stage.iterdir() if p.name[0] not in ".m") == left
    assert json.loads((tmp_path / "status.json").read_text()) == {
        "state": "failed",
        "resumable": True,
    }
    assert main(command[1:]) == ExitCode.DONE
    assert weights(tmp_path) == weights(straight)
    assert sorted(p.name for p in stage.iterdir()) == ["final", "metrics.jsonl"]
    assert [row["step"] for row in rows(tmp_path, "align")] == [1, 2, 3]


def test_a_full_disk_becomes_an_error_with_its_cause(tiny, tmp_path, monkeypatch) -> None:
    failing(OSError(errno.ENOSPC, "No space left on device"), 2, monkeypatch)
    with pytest.raises(CheckpointError, match=r"align/step-000002") as refused:
        main(tiny.overrides(tmp_path, *STEPS))
    assert isinstance(refused.value.__cause__, OSError)


@pytest.mark.parametrize("kind", ["empty", "no language model", "torn weights"])
def test_a_wrong_folder_for_the_language_model_is_named(tiny, tmp_path, kind) -> None:
    folder = tmp_path / "llm"
    if kind == "empty":
        folder.mkdir()
    elif kind == "no language model":
        shutil.copytree(tiny.root / "vision", folder)
    else:
        shutil.copytree(tiny.root / "llm", folder)
        torn = folder / "model.safetensors"
        torn.write_bytes(torn.read_bytes()[:-99])
    with pytest.raises(CheckpointError) as refused:
        main(tiny.overrides(tmp_path / "run", "stage=align", f"model.llm.model={folder}"))
    assert str(folder) in str(refused.value)
    assert "a causal LM" in str(refused.value)
