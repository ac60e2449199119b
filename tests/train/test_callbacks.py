"""What watches a run: rows in a file that survives a kill, and trackers that can be read back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from affect_mllm.train.main import main
from affect_mllm.train.watch.callbacks import JsonlLog, Tracker
from affect_mllm.types import ExitCode

ROWS = [
    {
        "stage": "align",
        "step": step,
        "seconds": 1.5 * step,
        "loss": 4.0 / step,
        "gate": {"face": {"general": 0.25 * step}},
    }
    for step in (1, 2, 3)
]


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_a_torn_line_and_rows_after_the_resume_step_are_dropped(tmp_path) -> None:
    path = tmp_path / "align/metrics.jsonl"
    first = JsonlLog(path, first_step=0)
    for row in ROWS:
        first.log(row)
    first.stop()
    with path.open("a") as stream:
        stream.write('{"stage": "align", "step": 2}')  # whole to look at, but its end never came
    again = JsonlLog(path, first_step=2)
    assert steps(path) == [1, 2]
    again.log({**ROWS[2], "loss": 9.0, "seconds": 1.0})
    again.stop()
    assert steps(path) == [1, 2, 3]
    last = json.loads(path.read_text().splitlines()[-1])
    assert last["loss"] == 9.0
    assert last["seconds"] == 4.0, "on top of the three of the rows that were kept"
    spent = [json.loads(line)["cpu_seconds"] for line in path.read_text().splitlines()]
    assert spent == sorted(spent)
    assert len({*spent}) == 3


def test_every_row_can_be_read_at_once(tmp_path) -> None:
    log = JsonlLog(tmp_path / "metrics.jsonl", first_step=0)
    for number, row in enumerate(ROWS, 1):
        log.log(row)
        assert len(steps(tmp_path / "metrics.jsonl")) == number
    log.stop()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_holds_the_numbers_of_the_run(tiny, tmp_path) -> None:
    given = ("stage=align", "tracker=tensorboard")
    assert main(tiny.overrides(tmp_path, *given)) == ExitCode.DONE
    found = scalars(tmp_path / "tensorboard/demo-align")
    rows = [json.loads(x) for x in (tmp_path / "align/metrics.jsonl").read_text().splitlines()]
    assert [step for step, _ in found["loss"]] == [row["step"] for row in rows]
    assert [value for _, value in found["loss"]] == pytest.approx([row["loss"] for row in rows])
    for modality, gate in rows[-1]["gate"].items():
        assert found[f"gate/{modality}/general"][-1][1] == pytest.approx(gate["general"])
    for group in ("fusion", "general_expert"):
        assert found[f"lr/{group}"][-1][1] == pytest.approx(rows[-1]["lr"][group])
        assert found[f"grad_norms/{group}"][-1][1] > 0
    assert "stage" not in found


def test_wandb_offline_leaves_a_run_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracker = Tracker("wandb", tmp_path, "demo-align", {"model": {"hidden": 32}})
    for row in ROWS:
        tracker.log(row)
    tracker.stop()
    kept = (tmp_path / "wandb/demo-align.id").read_text().strip()
    (written,) = (tmp_path / "wandb").glob(f"offline-run-*-{kept}/run-{kept}.wandb")
    content = written.read_bytes()
    for name in (b"demo-align", b"gate/face/general", b"loss"):
        assert name in content


def test_after_a_resume_tensorboard_has_each_step_once(tmp_path) -> None:
    for first, rows in ((0, ROWS), (1, [{**row, "loss": 9.0} for row in ROWS[1:]])):
        tracker = Tracker("tensorboard", tmp_path, "demo-align", {}, first_step=first)
        for row in rows:
            tracker.log(row)
        tracker.stop()
    assert scalars(tmp_path / "tensorboard/demo-align")["loss"] == [(1, 4.0), (2, 9.0), (3, 9.0)]


def test_a_resumed_run_is_one_run_of_wandb_and_another_stage_another(tmp_path, monkeypatch) -> None:
    given: list[dict] = []

    class Run:
        def finish(self) -> None:
            """Nothing to flush."""

    monkeypatch.setitem(
        sys.modules, "wandb", SimpleNamespace(init=lambda **options: given.append(options) or Run())
    )
    for name in ("demo-align", "demo-align", "demo-instruct"):
        Tracker("wandb", tmp_path, name, {}).stop()
    ids = [options["id"] for options in given]
    assert ids[0] == ids[1] != ids[2]
    assert {options["resume"] for options in given} == {"allow"}
