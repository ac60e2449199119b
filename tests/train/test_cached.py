"""Training on cached states is training on the clips: the same losses, and no clip is opened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from affect_mllm.train.main import main
from affect_mllm.types import ExitCode


def losses(folder: Path) -> list[float]:
    lines = (folder / "align/metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def train(tiny, folder: Path, *more: str) -> list[float]:
    given = ("stage=align", "stages.align.steps=5", *more)
    assert main(tiny.overrides(folder, *given)) == ExitCode.DONE
    return losses(folder)


def test_losses_with_the_cache_are_those_without(tiny, tmp_path) -> None:
    live = train(tiny, tmp_path / "live", "data.cache_dir=null")
    where = f"data.cache_dir={tmp_path / 'features'}"
    exact = train(tiny, tmp_path / "exact", where, "data.cache_dtype=float32")
    half = train(tiny, tmp_path / "half", where)
    assert len(live) == 5
    assert len(set(live)) == 5
    assert exact == pytest.approx(live, rel=1e-5)
    assert half == pytest.approx(live, rel=1e-3)


def test_a_filled_cache_opens_no_clip(tiny, tmp_path, monkeypatch) -> None:
    from affect_mllm.data.reader import Reader

    shutil.copytree(tiny.root / "clips", tmp_path / "clips")
    shutil.copy(tiny.root / "manifest.jsonl", tmp_path)
    given = (
        f"data.manifest={tmp_path / 'manifest.jsonl'}",
        f"data.cache_dir={tmp_path / 'features'}",
    )
    first = train(tiny, tmp_path / "first", *given)

    def refuse(*_args) -> None:
        raise AssertionError("a clip was read")

    monkeypatch.setattr(Reader, "read", refuse)
    assert train(tiny, tmp_path / "second", *given) == first
