"""A stage of preferences through the command: it learns, and goes on with the same reference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from affect_mllm.data import manifest
from affect_mllm.models import checkpoint
from affect_mllm.train.main import main
from affect_mllm.types import ExitCode
from tests.processes import finished
from tests.train import resuming
from tests.train.resuming import stop_after

STEPS = 6
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.fixture(scope="module")
def pairs(tiny, tmp_path_factory) -> Path:
    """The tiny corpus with two answers a row: its own emotion and a longer wrong one."""
    folder = tmp_path_factory.mktemp("pairs")
    rows = []
    for sample in manifest.read(tiny.root / "manifest.jsonl"):
        own = {"chosen": sample.labels["emotion"], "rejected": "nothing of the kind"}
        split = "val" if sample.split == "test" else sample.split
        rows.append(replace(sample, labels=sample.labels | own, split=split))
    path = folder / "manifest.jsonl"
    manifest.write(rows, path, media_root=tiny.root)
    return path


def overrides(tiny, run: Path, pairs: Path, *more: str) -> list[str]:
    """Two steps of `instruct`, whose LoRA the reference has, then preferences."""
    validation = (
        "{_target_: affect_mllm.train.plan.stage.Validation, every: 3, batches: 1, sources: {data: "
        "{_target_: affect_mllm.data.mixture.Source, manifest: '${data.manifest}', split: val, "
        "instructions: {preferred: 1}}}}"
    )
    given = tiny.overrides(
        run,
        "~stages.align",
        "~stages.emotion",
        "+stage@stages.prefer=prefer",
        "+instruction@data.instructions.preferred=preferred",
        f"stages.prefer.steps={STEPS}",
        "stages.prefer.batch_size=4",
        "stages.prefer.save_every=50",
        "stages.prefer.trainable.lora.lr=0.003",
        "stages.prefer.schedule.warmup_steps=0",
        f"+stages.prefer.validation={validation}",
        "model.llm.lora.lora_dropout=0.3",  # off here: what is compared is one function
        *more,
    )
    dropped = ("stages.align.", "stages.emotion.", "data.manifest=")
    kept = [each for each in given if not each.startswith(dropped)]
    return [*kept, f"data.manifest={pairs}"]


def rows(run: Path) -> list[dict]:
    return [json.loads(x) for x in (run / "prefer" / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_and_resumes_with_the_stage_s_first_weights(tiny, pairs, tmp_path) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert main(overrides(tiny, straight, pairs)) == ExitCode.DONE
    with pytest.MonkeyPatch.context() as patch:
        stop_after(4, patch, stage="prefer")
        assert main(overrides(tiny, broken, pairs)) == ExitCode.STOPPED
    assert main(overrides(tiny, broken, pairs)) == ExitCode.DONE
    one, two = rows(straight), rows(broken)
    assert [r["losses"] for r in one] == [r["losses"] for r in two]
    assert [r["notes"] for r in one] == [r["notes"] for r in two]
    weights = [run / "prefer" / "final" / checkpoint.WEIGHTS for run in (straight, broken)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    first, last = one[0], one[-1]
    said = first["notes"]
    assert said["preference/margin"] == 0.0, "policy and reference are one function at step 0"
    assert said["preference/accuracy"] == 0.5
    assert said["preference/longer"] == 0.0, "the wrong answer is the longer one"
    assert last["notes"]["preference/margin"] > 0
    assert last["losses"]["preference"] < first["losses"]["preference"]
    assert {"val/preference/accuracy", "val/preference/longer"} <= last["eval"].keys()
    assert last["eval"]["val/preference/margin"] > 0, "on rows that were not trained on"


def test_two_processes_that_split_weights_compare_as_one_does(tiny, pairs, tmp_path) -> None:
    """First weights take the place of gathered ones; on validation rows too."""
    alone = tmp_path / "alone"

    def given(run: Path, *more: str) -> list[str]:
        own = ("~stages.instruct", "stages.prefer.steps=3", "+launch.persistence_threshold=0")
        found = overrides(tiny, run, pairs, *own, *more)
        return [each for each in found if not each.startswith("stages.instruct.")]

    assert main(given(alone)) == ExitCode.DONE
    names = ("fsdp2", "zero3")
    for name in names:  # DeepSpeed's has a process group of its own
        more = (f"launch.strategy={name}", "launch.micro_batches=2")
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps([{"overrides": given(tmp_path / name, *more), "stop": None}]))
        code, said = finished([*TORCHRUN, "-m", resuming.__name__, str(path)], deadline_s=1800)
        assert code == 0, said[-3000:]
    want = rows(alone)
    assert want[-1]["notes"]["preference/margin"] > 1e-3
    for name in names:
        got = rows(tmp_path / name)
        assert got[0]["losses"] == pytest.approx(want[0]["losses"], rel=1e-6)
        assert got[0]["grad_norm"] == pytest.approx(want[0]["grad_norm"], rel=1e-6)
        assert got[0]["notes"]["preference/margin"] == 0.0
        for a, b in zip(got, want, strict=True):  # Adam makes a step of rounding alone
            assert a["notes"] == pytest.approx(b["notes"], rel=0.02, abs=1e-4), name
        assert got[-1]["eval"] == pytest.approx(want[-1]["eval"], rel=0.02, abs=1e-4), name
