"""A server that refuses, stumbles and dawdles: no sample is lost, and none is asked about twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from affect_mllm.data import manifest
from affect_mllm.eval.main import main
from affect_mllm.types import ConfigError, DataError
from tests.eval.runs import corpus
from tests.eval.server import CUT, SLOW, USAGE, served

FAULTS = {"s01": 429, "s02": 500, "s03": CUT, "s04": SLOW, "s05": 400}
PERMANENT = "s05"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.jsonl"
    manifest.write(corpus(12, root=tmp_path), path)
    return path


def command(url: str, rows: Path, *more: str) -> list[str]:
    return ["model=endpoint", f"model.url={url}", "model.model=org/m", f"manifest={rows}",
            f"run_dir={rows.parent / 'run'}", "model.backoff_s=0", "model.timeout_s=4",
            *more]  # fmt: skip


def about(body: dict) -> str:
    """The row that a request is about."""
    found = re.search(r"words of (s\d+)", body["messages"][-1]["content"][-1]["text"])
    assert found
    return found[1]


def answers(rows: Path) -> list[dict]:
    path = rows.parent / "run/eval/synthetic/face+audio+text.predictions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def usage(rows: Path) -> dict:
    found = json.loads((rows.parent / "run/results.json").read_text())
    return found["runs"]["synthetic"]["usage"]["face+audio+text"]


def test_no_sample_is_lost_and_none_is_asked_about_twice(rows) -> None:
    asked: Counter[str] = Counter()

    def stumbling(body: dict, _: int) -> tuple[int, str]:
        row = about(body)
        asked[row] += 1
        return (FAULTS.get(row, 200), "no") if asked[row] == 1 else (200, f"sad {row}")

    with served(stumbling) as seen:
        assert main(command(seen.url, rows)) == 0
        assert asked == {f"s{i:02d}": 2 if f"s{i:02d}" in FAULTS else 1 for i in range(12)} | {
            PERMANENT: 1
        }
        found = {row["id"]: row for row in answers(rows)}
        assert sorted(found) == sorted(asked)
        assert [name for name, row in found.items() if "error" in row] == [PERMANENT]
        assert "HTTP 400: no" in found[PERMANENT]["error"]
        assert (usage(rows)["answers"], usage(rows)["errors"]) == (11, 1)

        # Taken up again, only the row without an answer is asked about.
        asked_before = Counter(asked)
        assert main(command(seen.url, rows)) == 0
        assert asked - asked_before == {PERMANENT: 1}
        first = answers(rows)
        assert not [row for row in first if "error" in row]
        assert (usage(rows)["answers"], usage(rows)["errors"]) == (12, 0)

        # Even where the answers' file is gone: the replies are kept.
        (rows.parent / "run/eval/synthetic/face+audio+text.predictions.jsonl").unlink()
        asked_before = Counter(asked)
        assert main(command(seen.url, rows)) == 0
        assert asked == asked_before
        assert answers(rows) == first
    times = (rows.parent / "run/times/synthetic/face+audio+text.jsonl").read_text().splitlines()
    assert [json.loads(line)["answers"] for line in times] == [11, 1]


@pytest.mark.parametrize(("status", "fix"), [(401, "OPENAI_API_KEY"), (404, "url and model")])
def test_what_no_request_can_succeed_with_ends_the_run_at_once(rows, status, fix) -> None:
    with served(lambda _b, _n: (status, "no")) as seen:
        with pytest.raises(ConfigError, match=fix):
            main(command(seen.url, rows, "model.workers=2"))
        assert len(seen.requests) <= 4


def test_an_address_where_nobody_is_ends_the_run_at_once(rows) -> None:
    with served(lambda _b, _n: (200, "")) as seen:
        pass
    with pytest.raises(ConfigError, match="nobody answers"):
        main(command(seen.url, rows))


def test_a_run_of_which_most_fails_is_refused_and_keeps_what_came(rows) -> None:
    with served(lambda body, _: (200 if about(body) < "s03" else 400, "happy")) as seen:
        with pytest.raises(DataError, match=r"of 12 rows have no answer(.|\n)*max_bad_fraction"):
            main(command(seen.url, rows))
        assert not (rows.parent / "run/results.json").exists()
        assert main(command(seen.url, rows, "max_bad_fraction=0.8")) == 0
        asked = Counter(map(about, seen.requests))
    assert {asked[f"s{i:02d}"] for i in range(3)} == {1}


def test_each_answer_says_what_it_took(rows) -> None:
    prices = rows.with_name("prices.yaml")
    prices.write_text("org/m: {in: 2.0, out: 10.0, currency: EUR}\n")
    with served(lambda _b, _n: (200, "sad"), finish_reason="length") as seen:
        assert main(command(seen.url, rows, f"prices={prices}")) == 0
    cost = (USAGE["prompt_tokens"] * 2.0 + USAGE["completion_tokens"] * 10.0) / 1e6
    for row in answers(rows):
        assert (row["tokens_in"], row["tokens_out"]) == (100, 3)
        assert row["cost"] == pytest.approx(cost)
        assert row["seconds"] >= 0
    total = usage(rows)
    assert (total["tokens_in"], total["tokens_out"], total["cut_off"]) == (1200, 36, 12)
    assert (total["cost"], total["currency"]) == (pytest.approx(12 * cost), "EUR")
    assert total["answers_per_s"] > 0


@pytest.mark.parametrize(
    "text", ["", "org/m: {in: 1}\n", "org/m: {in: -1, out: 2}\n", "x: {in: 1, out: 1}\n"]
)
def test_prices_that_are_none_are_refused_before_anything_is_asked(rows, text) -> None:
    prices = rows.with_name("prices.yaml")
    prices.write_text(text)
    with served(lambda _b, _n: (200, "sad")) as seen:
        with pytest.raises(ConfigError, match="prices"):
            main(command(seen.url, rows, f"prices={prices}"))
        assert not seen.requests


def test_more_keys_travel_with_a_request_and_make_another_model(rows) -> None:
    with served(lambda _b, _n: (200, "sad")) as seen:
        more = ("+model.body.max_completion_tokens=5", "+model.body.max_tokens=null")
        assert main(command(seen.url, rows, *more)) == 0
    (keys,) = {frozenset(body) for body in seen.requests}
    assert "max_tokens" not in keys
    assert {body["max_completion_tokens"] for body in seen.requests} == {5}
