"""What makes a run another run, and what does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from affect_mllm.eval.main import main as evaluate
from affect_mllm.models import checkpoint
from affect_mllm.train.keep.lineage import deciding
from affect_mllm.train.keep.stage_checkpoints import StageCheckpoints
from affect_mllm.train.main import main as train
from affect_mllm.types import ConfigError, ExitCode


def test_where_and_how_often_things_are_kept_does_not_make_another_run() -> None:
    data = {"manifest": "m.jsonl", "cache_dir": "a", "cache_max_gb": 5, "max_bad_fraction": 0.01}
    assert deciding(data) == deciding(data | {"cache_dir": "b", "cache_max_gb": 50})
    assert deciding({"steps": 5, "save_every": 1}) == deciding({"steps": 5, "keep_last": 3})
    assert deciding({"steps": 5, "speed": {"compile": True}}) == deciding({"steps": 5})


def test_what_changes_the_numbers_does() -> None:
    data = {"manifest": "m.jsonl", "cache_dir": "a", "cache_dtype": "float16"}
    for change in ({"manifest": "n.jsonl"}, {"cache_dtype": "float32"}, {"cache_dir": None}):
        assert deciding(data) != deciding(data | change)


def test_the_newest_checkpoint_is_the_one_of_the_last_step(tmp_path: Path) -> None:
    for step in (999_900, 1_000_000, 5):
        (tmp_path / f"step-{step:06d}").mkdir()
    found = StageCheckpoints(tmp_path, OmegaConf.create(), {})._steps()
    assert [path.name for path in found] == ["step-000005", "step-999900", "step-1000000"]


def test_a_checkpoint_of_groups_without_names_is_refused_and_still_evaluated(
    tiny, tiny_run, tmp_path
) -> None:
    """As an earlier version wrote it: `trainable` is regex → rate in its config."""
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    for stage in ("align", "emotion", "instruct"):
        final = folder / stage / "final"
        cfg = checkpoint.load_config(final)
        for node in cfg.stages.values():
            node.trainable = {group.match: group.lr for group in node.trainable.values()}
        OmegaConf.save(cfg, final / "config.yaml")
        meta = json.loads((final / "meta.json").read_text()) | {"fingerprint": "of then"}
        meta["hashes"]["config.yaml"] = checkpoint.file_hash(final / "config.yaml")
        (final / "meta.json").write_text(json.dumps(meta))
    old = r"stages\.align\.trainable\.fusion\\\.\.\*: 0\.001 there, nothing here"
    with pytest.raises(ConfigError, match=rf"{old}(.|\n)*another run_dir"):
        train(tiny.overrides(folder))
    last = folder / "instruct/final"
    given = [f"checkpoint={last}", f"manifest={tiny.root / 'manifest.jsonl'}", "max_new_tokens=2"]
    given += [f"cache_dir={tiny.root / 'features'}", f"run_dir={tmp_path / 'eval'}"]
    assert evaluate(given) == ExitCode.DONE
    more = ["stage=align", f"+stages.align.init_from={last}", "stages.align.steps=1"]
    assert train(tiny.overrides(tmp_path / "further", *more)) == ExitCode.DONE
