"""Several runs in one table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from affect_mllm.tools.app import main
from affect_mllm.tools.spread import runs_in, summed_up
from affect_mllm.types import DataError

LOSSES = (0.5, 0.7, 0.9)
ACCURACIES = (0.6, 0.8, 0.7)


def make(root: Path, state: str = "done") -> list[Path]:
    for seed, (loss, accuracy) in enumerate(zip(LOSSES, ACCURACIES, strict=True), 1):
        run = root / f"seed={seed}"
        (run / "instruct").mkdir(parents=True)
        (run / "status.json").write_text(json.dumps({"state": state}))
        rows = [
            {"stage": "instruct", "step": 1, "loss": 9.0},
            {"stage": "instruct", "step": 2, "loss": loss},
            {"stage": "instruct", "step": 3, "eval": {"val/loss": 2 * loss}},
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (run / "instruct/metrics.jsonl").write_text(lines)
        metrics = {"accuracy": {"value": accuracy}, "empty": {"value": None}}
        if seed == 1:
            metrics["only_here"] = {"value": 1.0}
        scored = {"variants": {"all": {"metrics": metrics}}}
        (run / "results.json").write_text(json.dumps({"runs": {"synthetic": scored}}))
    return sorted(root.iterdir())


def test_mean_and_spread_are_numpys_and_only_of_what_all_runs_have(tmp_path) -> None:
    found = summed_up(make(tmp_path))
    assert set(found) == {"instruct/loss", "instruct/val/loss", "synthetic/all/accuracy"}
    for name, values in (("instruct/loss", LOSSES), ("synthetic/all/accuracy", ACCURACIES)):
        assert found[name].n == 3
        assert found[name].mean == pytest.approx(np.mean(values))
        assert found[name].sd == pytest.approx(np.std(values, ddof=1))
        assert (found[name].least, found[name].most) == (min(values), max(values))


def test_the_folder_of_a_sweep_stands_for_its_runs(tmp_path, capsys) -> None:
    runs = make(tmp_path)
    assert runs_in([tmp_path]) == runs
    with pytest.raises(SystemExit) as left:
        main(["spread", str(tmp_path), "--json"])
    assert left.value.code == 0
    assert json.loads(capsys.readouterr().out)["instruct/loss"]["mean"] == pytest.approx(0.7)


def test_one_run_and_an_unfinished_one_are_refused(tmp_path) -> None:
    runs = make(tmp_path, state="stopped")
    with pytest.raises(DataError, match="at least two"):
        runs_in(runs[:1])
    (runs[1] / "results.json").unlink()
    with pytest.raises(DataError, match="status stopped"):
        runs_in(runs)
