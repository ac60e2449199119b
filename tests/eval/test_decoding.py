"""How long answers may be and how they are drawn: the benchmark says it, or the run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from affect_mllm.data import manifest
from affect_mllm.eval.generate.asked import Asking, Other
from affect_mllm.eval.generate.checkpoint import Checkpoint
from affect_mllm.eval.main import main
from affect_mllm.eval.task import Task
from affect_mllm.models.decoding import TokenSampling
from affect_mllm.types import ConfigError
from tests.eval.runs import corpus, task
from tests.eval.server import served


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.jsonl"
    manifest.write(corpus(3, root=tmp_path), path)
    return path


def command(url: str, rows: Path, run: str, *more: str) -> list[str]:
    return ["model=endpoint", f"model.url={url}", "model.model=org/m", f"manifest={rows}",
            f"run_dir={rows.parent / run}", *more]  # fmt: skip


def stamps(rows: Path, run: str) -> set[str]:
    path = rows.parent / run / "eval/synthetic/face+audio+text.predictions.jsonl"
    return {json.loads(line)["data"] for line in path.read_text().splitlines()}


def test_a_published_protocol_can_be_followed_by_the_run_and_by_the_benchmark(rows) -> None:
    """AffectGPT's: temperature 1, the likeliest tokens of 0.9 together."""
    by_run = ("decoding=sampled", "sampling.temperature=1", "sampling.top_p=0.9")
    by_task = ("+benchmark.decoding={temperature: 1.0, top_p: 0.9}", "+benchmark.max_new_tokens=7")
    with served(lambda _b, _n: (200, "sad")) as seen:
        assert main(command(seen.url, rows, "run", *by_run)) == 0
        assert main(command(seen.url, rows, "task", *by_task)) == 0
        assert main(command(seen.url, rows, "greedy", *by_task, "decoding=greedy")) == 0
    how = [(b["temperature"], b.get("top_p"), b["max_tokens"]) for b in seen.requests]
    assert how == [(1.0, 0.9, 64)] * 3 + [(1.0, 0.9, 7)] * 3 + [(0, None, 7)] * 3
    seeds = [body["seed"] for body in seen.requests]
    assert len({*seeds[:3]}) == 3, "a seed for each row"
    assert sorted(seeds[:3]) == sorted(seeds[3:6]), "the same way draws the same"
    assert len(stamps(rows, "run") | stamps(rows, "task") | stamps(rows, "greedy")) == 3
    found = json.loads((rows.parent / "task/results.json").read_text())["runs"]["synthetic"]
    assert found["decoding"].startswith("sampled at temperature 1, top_p 0.9")


def test_answers_of_another_length_or_way_are_not_reused(rows) -> None:
    with served(lambda _b, _n: (200, "sad")) as seen:
        for more in ((), ("max_new_tokens=5",), ("decoding=sampled",), ()):
            assert main(command(seen.url, rows, "run", *more)) == 0
    assert len(seen.requests) == 9, "the replies of the first run are kept for the last"


def test_lengths_are_the_runs_the_benchmarks_or_the_kinds() -> None:
    closed, listed = task(), task(kind="open_vocabulary", labels=(), metrics=("hit_rate",))
    asking = Asking(closed, "")
    assert asking.length(Checkpoint.LEAST) < asking.length(Other.LEAST)
    assert Asking(listed, "").length(Other.LEAST) == Asking(listed, "").length(Checkpoint.LEAST)
    own = replace(asking, task=replace(closed, max_new_tokens=500))
    assert own.length(12) == 500
    assert replace(own, max_new_tokens=3).length(12) == 3
    long = "a label with very many bytes in its name, so to say"
    assert Asking(task(labels=(long, "b")), "").length(12) == len(long) + 1


def test_a_tasks_decoding_survives_its_file() -> None:
    one = task(decoding={"temperature": 1.0, "top_p": 0.9}, max_new_tokens=9)
    assert one.decoding == TokenSampling(1.0, 0.9)
    from dataclasses import asdict

    assert Task(**json.loads(json.dumps(asdict(one)))) == one
    with pytest.raises(ConfigError, match="temperature"):
        task(decoding={"temperature": 0.0})


def test_nothing_is_drawn_where_labels_are_compared(tmp_path) -> None:
    with pytest.raises(ConfigError, match="decoding"):
        main(["checkpoint=x", "answer_by=likelihood", "decoding=sampled", f"run_dir={tmp_path}"])
