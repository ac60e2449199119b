"""The commands as processes: swept rates, odd paths, YAML of a user's own, what to type instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.processes import finished
from tests.test_groups import own_folder

RATE = "stages.instruct.trainable.lora.lr"
ODD = "runs=1, [中文]"


def test_rates_are_swept_and_any_of_the_runs_is_evaluated_by_its_path(tiny, tmp_path: Path) -> None:
    """With an experiment of a folder of one's own, into a path that Hydra's grammar cannot read."""
    runs = tmp_path / ODD
    given = tiny.overrides(runs, "~stages.align", "~stages.emotion")
    given = [text for text in given if not text.startswith("experiment")]
    own = ["experiment=mine", f"hydra.searchpath=[{own_folder(tmp_path)}]"]
    swept = [f"{RATE}=1e-4,2e-4", "stages.instruct.steps=1"]
    code, said = finished(["train.py", "-m", *own, *given, *swept])
    assert code == 0, said
    assert sorted(path.name for path in runs.iterdir()) == [f"{RATE}=0.0001", f"{RATE}=0.0002"]
    for rate in (0.0001, 0.0002):
        (row,) = (runs / f"{RATE}={rate}/instruct/metrics.jsonl").read_text().splitlines()
        assert json.loads(row)["lr"]["lora"] == pytest.approx(rate / 10)  # of ten warm-up steps
        assert set(json.loads(row)["lr"]) == {"lora", "fusion", "compressors"}
    given = [
        f"checkpoint={runs}/{RATE}=0.0002/instruct/final",
        f"manifest={tiny.root / 'manifest.jsonl'}",
        f"cache_dir={tiny.root / 'features'}",
        f"run_dir={runs}/eval",
    ]
    code, said = finished(["eval.py", *given, "max_new_tokens=2"])
    assert code == 0, said
    assert (runs / "eval/results.json").is_file()


def test_what_hydra_cannot_read_ends_with_2_and_the_words_to_type() -> None:
    code, said = finished(["train.py", "experiment=demo", "name=seed=1"])
    assert (code, said.splitlines()[-1].strip()) == (2, "to mend it: type \"name='seed=1'\"")
    code, said = finished(["train.py", "-m", "experiment=demo", "data.manifest=a,b", "seed=1,2"])
    assert code == 2
    assert "Traceback" not in said
    assert "data.manifest=choice('a','b')" in said
