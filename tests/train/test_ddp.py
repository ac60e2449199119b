"""Two processes on one machine do what one does; a layout that does not fit is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from affect_mllm.models import checkpoint
from affect_mllm.train.main import main
from affect_mllm.types import ExitCode
from tests.processes import finished
from tests.train.weights import assert_same

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "train.py")
ACCELERATE = ("-m", "accelerate.commands.launch", "--num_processes", "2")


def rows(run_dir: Path, stage: str) -> list[dict]:
    return [json.loads(x) for x in (run_dir / stage / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_train_as_one(tiny, tiny_run, tmp_path) -> None:
    command = tiny.overrides(tmp_path, "launch=ddp")
    code, said = finished([*TORCHRUN, *command])
    assert code == ExitCode.DONE, said
    for stage in ("align", "emotion", "instruct"):
        one, two = rows(tiny_run, stage), rows(tmp_path, stage)
        assert [row["step"] for row in two] == [row["step"] for row in one]
        losses = [row["loss"] for row in one]
        assert [row["loss"] for row in two] == pytest.approx(losses, rel=1e-5)
        norms = [row["grad_norm"] for row in one]  # less well conditioned than the loss
        assert [row["grad_norm"] for row in two] == pytest.approx(norms, rel=1e-3)
        assert [r["supervised_tokens"] for r in two] == [r["supervised_tokens"] for r in one]
        expected, got = (
            load_file(folder / stage / "final" / checkpoint.WEIGHTS)
            for folder in (tiny_run, tmp_path)
        )
        assert_same(got, expected)


@pytest.mark.parametrize(("clips", "places", "unasked"), [(4, 4, 1), (2, 2, 1)])
def test_a_rank_with_fewer_examples_than_the_other_waits_for_it(
    tiny, tmp_path, clips: int, places: int, unasked: int
) -> None:
    """c01 has no sound: a question about the voice leaves its rank with one example, or none."""
    lines = (tiny.root / "manifest.jsonl").read_text().splitlines()[:clips]
    shutil.copytree(tiny.root / "clips", tmp_path / "clips")
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    voice = "data.instructions.describe_face.only=[audio]"
    words = "data.instructions.describe_words.only=[audio]"
    more = (
        "stage=align",
        f"stages.align.batch_size={places}",
        voice,
        words,
        f"data.manifest={tmp_path / 'manifest.jsonl'}",
        "data.max_bad_fraction=0.0",
    )
    two = tiny.overrides(tmp_path / "two", "launch=ddp", *more)
    code, said = finished(
        [*ACCELERATE, "--multi_gpu", "train.py", *two],
        ACCELERATE_USE_CPU="true",
    )
    assert code == ExitCode.DONE, said
    assert main(tiny.overrides(tmp_path / "one", *more)) == ExitCode.DONE
    one, two = rows(tmp_path / "one", "align"), rows(tmp_path / "two", "align")
    assert [row["unasked"] for row in one] == [unasked] * 2
    losses = [row["loss"] for row in one]
    assert [row["loss"] for row in two] == pytest.approx(losses, rel=1e-5)


def test_fewer_examples_than_processes_are_refused(tiny, tmp_path) -> None:
    more = ("launch=ddp", "stage=align", "stages.align.batch_size=1")
    code, said = finished(
        [*TORCHRUN, *tiny.overrides(tmp_path / "two", *more)], ACCELERATE_USE_CPU="true"
    )
    assert "exitcode  : 2" in said
    assert "stages.align.batch_size: 1 examples an update, on 2 processes" in said
    assert "set stages.align.batch_size=2" in said
    assert code != ExitCode.DONE
    assert not (tmp_path / "two" / "align").exists()


def test_two_processes_of_a_single_run_are_refused(tiny, tmp_path) -> None:
    code, said = finished(
        [*TORCHRUN, *tiny.overrides(tmp_path, "stage=align")], ACCELERATE_USE_CPU="true"
    )
    assert "single, but 2 processes were started" in said
    assert "launch=ddp" in said
    assert "exitcode  : 2" in said
    assert code != ExitCode.DONE
    assert not (tmp_path / "align").exists()


@pytest.mark.parametrize("strategy", ["single", "ddp"])
def test_one_process_where_accelerate_was_asked_for_two_is_refused(
    tiny, tmp_path, strategy
) -> None:
    """With `--cpu` it starts one, and says nothing of the other."""
    command = tiny.overrides(tmp_path, "stage=align", f"launch={strategy}")
    code, said = finished([*ACCELERATE, "--cpu", "train.py", *command])
    assert "asked for several processes and started one" in said
    assert code != ExitCode.DONE
    assert not (tmp_path / "align").exists()
