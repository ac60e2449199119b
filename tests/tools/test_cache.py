"""`affect-mllm cache`: what it computes is what training looks for, shared out and checked."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from affect_mllm import config
from affect_mllm.tools.app import main
from tests.processes import finished, started, wait_until


def run(*argv: str) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(["cache", *argv])
    return left.value.code


def given(tiny, cache: Path, *more: str) -> list[str]:
    return tiny.overrides(cache / "run", f"data.cache_dir={cache}", *more)


def missing(tiny, cache: Path) -> list[str]:
    """The rows that training would still have to encode, asked through a whole model."""
    cfg = config.checked(config.compose("train", given(tiny, cache)))
    model = tiny.model()
    features = config.build(cfg.data).features(model.transforms(), model.fingerprint)
    return [sample.id for sample in tiny.samples if features.lacks(sample)]


def test_an_experiments_rows_or_a_manifests_are_encoded(tiny, tmp_path, capsys) -> None:
    assert run(*given(tiny, tmp_path / "a")) == 0
    test_split = [sample.id for sample in tiny.samples if sample.split == "test"]
    assert missing(tiny, tmp_path / "a") == test_split
    manifest = str(tiny.root / "manifest.jsonl")
    assert run(manifest, *given(tiny, tmp_path / "b"), "--verify", "5") == 0
    assert missing(tiny, tmp_path / "b") == []
    assert "14 rows looked at; 1 shards" in capsys.readouterr().out


def test_states_that_are_not_what_is_computed_now_are_named(tiny, tmp_path, capsys) -> None:
    assert run(*given(tiny, tmp_path)) == 0
    cfg = config.checked(config.compose("train", given(tiny, tmp_path)))
    model = tiny.model()
    features = config.build(cfg.data).features(model.transforms(), model.fingerprint)
    sample = tiny.samples[3]
    entry = features.cache.get(sample)
    wrong = {name: np.asarray(states) * 1.5 for name, states in entry.states.items()}
    features.cache.put(sample, wrong)
    features.cache.flush()
    assert run(*given(tiny, tmp_path), "--verify", "20") == 1
    said = capsys.readouterr().err
    assert f"{sample.id}, audio: differs by" in said
    assert f"{tiny.samples[4].id}, " not in said


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["data.cache_dir=x"], "no experiment"),
        (["experiment=demo", "data.cache_dir=null"], "data.cache_dir: null"),
        (["experiment=demo", "clip.mp4"], "expected: manifests and key=value"),
        (["experiment=emotion_qwen", "data.cache_dir=x"], "no `encoders` of its own"),
    ],
)
def test_wrong_use_is_said(tiny, tmp_path, capsys, argv, reason) -> None:
    manifest = f"data.manifest={tiny.root / 'manifest.jsonl'}"
    assert run(*argv, manifest) == 2
    assert reason in capsys.readouterr().err


def command(tiny, cache: Path) -> list[str]:
    return ["-m", "affect_mllm.tools.app", "cache", str(tiny.root / "manifest.jsonl"),
            *given(tiny, cache)]  # fmt: skip


def test_two_processes_share_the_clips_out(tiny, tmp_path) -> None:
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29577"]
    code, said = finished([*launcher, *command(tiny, tmp_path)], ACCELERATE_USE_CPU="true")
    assert code == 0, said
    assert missing(tiny, tmp_path) == []
    assert len(list(tmp_path.glob("shards/*.safetensors"))) == 2, "one of each process"


def test_a_killed_cache_goes_on_where_it_was(tiny, tmp_path) -> None:
    early = (
        "import sys\n"
        "from affect_mllm.data import cache\n"
        "cache.FLUSH_S = 0\n"
        "from affect_mllm.tools.app import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ["-c", early, *command(tiny, tmp_path)[2:]]
    with started(arguments) as process:
        wait_until(process, lambda: len(list(tmp_path.glob("shards/*.safetensors"))) >= 2)
        os.killpg(process.pid, signal.SIGKILL)
    left = missing(tiny, tmp_path)
    assert len(left) < 14
    code, said = finished(command(tiny, tmp_path))
    assert code == 0, said
    if left:
        assert f"{len(left)} of 14 clips to encode once" in said
    assert missing(tiny, tmp_path) == []
