"""The rows of `gpu-check`: complete, well said, and a slice of them run by processes here."""

from __future__ import annotations

import json
from itertools import combinations, product
from typing import Any

import pytest

from affect_mllm.tools import gpu_check, gpu_checks
from affect_mllm.tools.gpu_matrix import (
    EXACT,
    MODELS,
    OMNI,
    ROWS,
    SPEEDS,
    STRATEGIES,
    THEN,
    TRAINS,
    Row,
)
from affect_mllm.train.ahead import check_quantized
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.layout.launch import Launch
from affect_mllm.types import ConfigError
from tests.processes import finished
from tests.tools.checks import TINY

FEW_BITS = ("nf4", "int8")
ALONE = [row for row in ROWS if row.processes == 1 and row.speed not in ("liger", "compiled")]


def is_refused(strategy: Any, trains: Any) -> bool:
    """By what a run asks before it builds anything."""
    try:
        check_quantized({"llm": {"quantize": trains}}, Launch(strategy=strategy))
    except ConfigError:
        return True
    return False


def can_be(row: Row) -> bool:
    """A native VLM has no setting `quantize`; an omni model trains as in its experiments."""
    if row.model in OMNI:
        return row.trains == "lora" and row.speed in ("plain", "checkpointed")
    return not (row.model != "llama" and row.trains in FEW_BITS)


def pairs(row: Row) -> set[tuple[int, str, int, str]]:
    return {(i, row[i], j, row[j]) for i, j in combinations(range(len(row)), 2)}


def test_every_pair_of_parts_trains_in_a_row() -> None:
    possible = [Row(*each) for each in product(STRATEGIES, TRAINS, MODELS, SPEEDS, THEN)]
    refused = {each for each in product(STRATEGIES, FEW_BITS) if is_refused(*each)}
    trained = [row for row in possible if can_be(row) and row[:2] not in refused]
    wanted = set().union(*map(pairs, trained))
    there = set().union(*(pairs(row) for row in ROWS if row[:2] not in refused))
    assert sorted(wanted - there) == []
    assert all(map(can_be, ROWS))


def test_every_strategy_has_a_row_with_everything_that_trains() -> None:
    assert {row[:2] for row in ROWS} == set(product(STRATEGIES, TRAINS))
    names = [check.name for check in gpu_check.CHECKS]
    assert len(set(names)) == len(names)
    assert {row.name for row in ROWS} | set(EXACT) <= set(names)


@pytest.mark.parametrize(
    ("row", "name", "what"),
    [
        (
            Row("zero2", "lora"),
            "zero2-lora",
            "ZeRO-2: LoRA and connectors on a bf16 base of a Llama with an encoder train as in a "
            "plain loop",
        ),
        (
            Row("fsdp2", "tower", "qwen3_vl", "checkpointed", "resume"),
            "fsdp2-tower-qwen3_vl-checkpointed-resume",
            "FSDP2: a vision tower, connectors and LoRA on a bf16 base of a Qwen3-VL with "
            "activations computed again train as in a plain loop, and a resumed run equals the "
            "uninterrupted one bit for bit",
        ),
    ],
)
def test_a_row_says_what_it_proves(row: Row, name: str, what: str) -> None:
    assert (row.name, row.what) == (name, what)


@pytest.mark.parametrize("row", ALONE, ids=lambda row: row.name)
def test_a_row_of_one_process_holds_on_a_cpu(row: Row) -> None:
    answer = gpu_checks.CHECKS[row.name](TINY)
    assert answer.held, answer.found
    assert not answer.refused


@pytest.mark.parametrize(
    "names",
    [
        (
            *("ddp", "fsdp2", "ddp-full-ask", "ddp-tower-qwen3_vl-checkpointed"),
            *("fsdp2-both-qwen2_5_vl-checkpointed-resume", "fsdp2-tower"),
            *("ddp-lora-qwen2_5_omni-checkpointed-resume", "fsdp2-lora-qwen3_omni_moe-ask"),
        ),
        (
            *("zero2", "zero3", "zero2-int8-checkpointed-ask", "zero3-nf4"),
            *("zero3-lora-qwen3_vl-checkpointed-resume", "zero3-tower-qwen2_5_vl-ask"),
            "zero3-lora-qwen3_omni_moe-checkpointed-resume",
        ),
    ],
    ids=["torch", "deepspeed"],
)
def test_two_processes_do_what_a_plain_loop_does(tmp_path, names: tuple[str, ...]) -> None:
    out = tmp_path / "out.json"
    start = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    code, said = finished([*start, "-m", "tests.tools.checks", str(out), *names], deadline_s=300)
    assert code == 0, said
    found = json.loads(out.read_text())
    assert set(found) == set(names)
    for row in found.values():
        assert row["held"], row
        assert "2 ranks" in row["found"]
        assert not row["refused"]


def test_what_is_refused_by_design_is_said_as_that() -> None:
    refused = [row for row in ROWS if is_refused(row.strategy, row.trains)]
    assert refused
    for row in refused:
        answer = gpu_checks.CHECKS[row.name](TINY)
        assert answer.refused
        assert f"launch.strategy={row.strategy}" in answer.found


def test_what_this_machine_cannot_run_is_not_shown_as_held(monkeypatch) -> None:
    monkeypatch.setattr("affect_mllm.tools.gpu_rows.find_spec", lambda name: None)
    monkeypatch.setattr("affect_mllm.tools.gpu_rows.liger_lacks", lambda kind: f"no {kind}")
    for row, said in (
        (Row("zero2", "lora"), "deepspeed is not installed"),
        (Row("single", "nf4"), "bitsandbytes is not installed"),
        (Row("single", "lora", "llama", "liger"), "no llama"),
    ):
        answer = gpu_checks.run(row, TINY)
        assert answer.held is None
        assert said in answer.found


def test_a_resume_that_forgets_the_moments_fails(monkeypatch) -> None:
    monkeypatch.setattr(Engine, "load", lambda self, folder: None)
    assert not gpu_checks.CHECKS["single-int8-resume"](TINY).held


def test_answers_that_change_the_training_fail(monkeypatch) -> None:
    """As if generating had moved a weight that trains."""
    from affect_mllm.tools import gpu_rows

    row, heard = Row("single", "lora", then="ask"), gpu_rows._heard

    def moves(trial: Any, model: Any) -> gpu_rows.Heard:
        said = heard(trial, model)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data.mul_(1.5)
        return said

    assert gpu_rows.run(row, TINY).held
    monkeypatch.setattr(gpu_rows, "_heard", moves)
    assert not gpu_rows.run(row, TINY).held
