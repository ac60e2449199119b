"""What makes a run another run, and what does not."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from affect_mllm.train.checkpoint import StageCheckpoints
from affect_mllm.train.lineage import deciding


def test_where_and_how_often_things_are_kept_does_not_make_another_run() -> None:
    data = {"manifest": "m.jsonl", "cache_dir": "a", "cache_max_gb": 5, "max_bad_fraction": 0.01}
    assert deciding(data) == deciding(data | {"cache_dir": "b", "cache_max_gb": 50})
    assert deciding({"steps": 5, "save_every": 1}) == deciding({"steps": 5, "keep_last": 3})


def test_what_changes_the_numbers_does() -> None:
    data = {"manifest": "m.jsonl", "cache_dir": "a", "cache_dtype": "float16"}
    for change in ({"manifest": "n.jsonl"}, {"cache_dtype": "float32"}, {"cache_dir": None}):
        assert deciding(data) != deciding(data | change)


def test_the_newest_checkpoint_is_the_one_of_the_last_step(tmp_path: Path) -> None:
    for step in (999_900, 1_000_000, 5):
        (tmp_path / f"step-{step:06d}").mkdir()
    found = StageCheckpoints(tmp_path, OmegaConf.create(), {})._steps()
    assert [path.name for path in found] == ["step-000005", "step-999900", "step-1000000"]
