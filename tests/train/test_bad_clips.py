"""Clips that cannot be read while training: skipped, counted on, and never in the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from affect_mllm.models import checkpoint
from affect_mllm.train.main import main
from affect_mllm.types import DataError, ExitCode
from tests import tiny_encoders
from tests.train.resuming import stop_after


def rows(run_dir: Path) -> list[dict]:
    return [json.loads(x) for x in (run_dir / "align/metrics.jsonl").read_text().splitlines()]


def broken_corpus(tiny, folder: Path, bad: int) -> Path:
    shutil.copytree(tiny.root / "clips", folder / "clips")
    for sample in [s for s in tiny.samples if "video" in s.media][:bad]:
        (folder / sample.media["video"]).write_bytes(b"no video" * 99)
    shutil.copy(tiny.root / "manifest.jsonl", folder)
    return folder / "manifest.jsonl"


def test_bad_clips_are_counted_and_too_many_stop_the_run(tiny, tmp_path) -> None:
    path = broken_corpus(tiny, tmp_path, bad=1)
    given = [f"data.manifest={path}", f"data.cache_dir={tmp_path / 'f'}", "stage=align"]
    with pytest.raises(DataError, match=r"1 of 10 clips(.|\n)*c00"):
        main(tiny.overrides(tmp_path / "run", *given))
    given += ["data.max_bad_fraction=0.5", "stages.align.steps=4"]
    assert main(tiny.overrides(tmp_path / "run", *given)) == ExitCode.DONE
    found = rows(tmp_path / "run")
    assert sum(row["skipped"] for row in found) > 0
    assert all(row["skipped"] + row["examples"] + row["unasked"] == 4 for row in found)


SOUND = "model.encoders.audio"


def unreadable(folder: Path, kind: str) -> None:
    """`c02.wav` as float32 with 20 values that are no numbers, or of 2 ms."""
    sound = np.full(4800, 0.1, np.float32)
    sound[1::2] = -0.1
    if kind == "short":
        sound = sound[:32]
    else:
        sound[160:180] = float(kind)
    soundfile.write(folder / "clips/c02.wav", sound, 16000, subtype="FLOAT")


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("kind", ["nan", "short"])
def test_sound_that_no_encoder_takes_is_a_bad_sample_and_no_other_is_named(
    tiny, tmp_path, capsys, kind, cached
) -> None:
    """In a forward pass it would end the run, or make the loss of all rows of a batch NaN."""
    path = broken_corpus(tiny, tmp_path, bad=0)
    unreadable(tmp_path, kind)
    speech = tiny_encoders.folder(tmp_path, "hubert")
    given = [
        *(f"data.manifest={path}", "stage=align", "stages.align.steps=5"),
        f"data.cache_dir={tmp_path / 'f' if cached else 'null'}",
        f"{SOUND}._target_=affect_mllm.models.encoders.hubert.SpeechEncoder",
        *(f"{SOUND}.model={speech}", f"~{SOUND}.transform.n_mels"),
        f"{SOUND}.transform._target_=affect_mllm.media.waveform.Waveform",
    ]
    if cached:
        with pytest.raises(DataError, match=r"1 of 10 clips cannot be read\n  c02: "):
            main(tiny.overrides(tmp_path / "strict", *given))
        capsys.readouterr()
    run = tiny.overrides(tmp_path / "run", *given, "data.max_bad_fraction=0.5")
    assert main(run) == ExitCode.DONE
    found = rows(tmp_path / "run")
    assert all(np.isfinite(row["loss"]) for row in found)
    assert sum(row["skipped"] for row in found) > 0
    said = capsys.readouterr().err.splitlines()
    named = [line for line in said if line.startswith("bad sample")]
    assert named
    assert all(each.split(": ")[1] == "c02" for each in named)
    for shard in (tmp_path / "f/shards").glob("*.safetensors"):
        for name, tensor in load_file(shard).items():
            assert np.isfinite(tensor).all(), name


def test_a_step_of_bad_clips_only_updates_nothing_and_ends_nothing(tiny, tmp_path) -> None:
    """One sample a step: the step that draws the broken clip has nothing to learn from."""
    path = broken_corpus(tiny, tmp_path, bad=1)
    given = [f"data.manifest={path}", f"data.cache_dir={tmp_path / 'f'}", "stage=align"]
    given += ["data.max_bad_fraction=0.5", "stages.align.steps=10", "stages.align.batch_size=1"]
    assert main(tiny.overrides(tmp_path / "run", *given)) == ExitCode.DONE
    found = rows(tmp_path / "run")
    missing = {*range(1, 11)} - {row["step"] for row in found}
    assert len(missing) == 1, "every clip is drawn once, and one of ten is broken"
    assert all(row["examples"] == 1 and np.isfinite(row["loss"]) for row in found)
    assert (tmp_path / "run/align/final").is_dir()


def test_what_is_evaluated_in_a_step_of_bad_clips_only_is_logged(tiny, tmp_path) -> None:
    """Else `best` could be chosen by a number that nobody can look up."""
    path = broken_corpus(tiny, tmp_path, bad=1)
    source = "{_target_: affect_mllm.data.mixture.Source, manifest: '${data.manifest}', "
    source += "split: train, instructions: {describe_words: 1}}"
    held_out = "{_target_: affect_mllm.train.plan.stage.Validation, every: 1, batches: 4, "
    held_out += f"sources: {{data: {source}}}}}"
    best = "{_target_: affect_mllm.train.plan.stage.Best, metric: val/loss}"
    given = [
        *(f"data.manifest={path}", f"data.cache_dir={tmp_path / 'f'}", "stage=align"),
        *("data.max_bad_fraction=0.5", "stages.align.steps=10", "stages.align.batch_size=1"),
        f"+stages.align.validation={held_out}",
        f"+stages.align.best={best}",
        "+stages.align.ema=0.5",
    ]
    assert main(tiny.overrides(tmp_path / "run", *given)) == ExitCode.DONE
    found = rows(tmp_path / "run")
    assert [row["step"] for row in found] == [*range(1, 11)]
    (idle,) = [row for row in found if "loss" not in row]
    assert (idle["examples"], idle["skipped"]) == (0, 1)
    values = {row["step"]: row["eval"]["val/loss"] for row in found}
    if idle["step"] > 1:
        assert values[idle["step"]] == values[idle["step"] - 1], "the weights are the same"
    best = checkpoint.read_meta(tmp_path / "run/align/best")
    assert best["best"]["value"] == min(values.values())
    assert values[best["step"]] == best["best"]["value"]


def test_the_count_of_bad_samples_goes_on_after_a_stop(tiny, tmp_path) -> None:
    path = broken_corpus(tiny, tmp_path, bad=1)
    given = [f"data.manifest={path}", f"data.cache_dir={tmp_path / 'f'}", "stage=align"]
    given += ["data.max_bad_fraction=0.5", "stages.align.steps=5"]
    skipped = 0
    for step in (2, 4):
        with pytest.MonkeyPatch.context() as patch:
            stop_after(step, patch)
            assert main(tiny.overrides(tmp_path / "run", *given)) == ExitCode.STOPPED
        found = rows(tmp_path / "run")
        skipped = sum(row["skipped"] for row in found)
        state = json.loads((tmp_path / f"run/align/step-{step:06d}/data_state.json").read_text())
        assert state["bad_samples"] == skipped
        assert state["samples_seen"] == skipped + sum(row["examples"] for row in found)
    assert skipped > 0
