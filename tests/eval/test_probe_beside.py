"""The probe beside a checkpoint: scikit-learn's on the states that the cache holds."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from affect_mllm.data.reader import Clip
from affect_mllm.eval.lines import beside_probe
from affect_mllm.eval.probe.beside import beside, between
from affect_mllm.types import Sample

MOODS = ("calm", "tense", "glad")


@dataclass
class Cached:
    """States of rows by id, as `data.Features` gives them."""

    states: dict[str, dict[str, np.ndarray]]
    cache: Any = True

    def clip(self, sample: Sample) -> Clip:
        return Clip({**self.states[sample.id]})

    def lacks(self, sample: Sample) -> bool:
        return sample.id not in self.states


@pytest.fixture
def samples(tmp_path) -> list[Sample]:
    return [
        Sample(
            f"r{i:02d}",
            tmp_path,
            media={"audio": "x.wav"},
            speaker=f"s{i % 5}",
            split="train" if i < 40 else "test",
            labels={"mood": MOODS[i % 3], "stress": float(i % 3)},
        )
        for i in range(60)
    ]


@pytest.fixture
def cached(samples) -> Cached:
    rng = np.random.default_rng(0)
    found = {}
    for sample in samples:
        centre = np.zeros(6)
        centre[MOODS.index(sample.labels["mood"])] = 1.2
        voice = rng.normal(centre, 1.5, (4 + len(found) % 3, 6)).astype(np.float32)
        found[sample.id] = {"audio": voice, "face": rng.normal(size=(2, 3)).astype(np.float32)}
    del found["r05"]["face"]
    return Cached(found)


def answers(path: Path | None) -> dict[str, str]:
    assert path is not None
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["id"]: row["response"] for row in rows}


def test_it_answers_as_scikit_learn_does(samples, cached, tmp_path) -> None:
    path = beside(
        tmp_path / "p.jsonl", cached, samples, "mood", split="test", shows=lambda n: n == "audio"
    )  # type: ignore[arg-type]
    means = np.stack([cached.states[row.id]["audio"].mean(0) for row in samples])
    scale = StandardScaler().fit(means[:40])
    truth = [row.labels["mood"] for row in samples]
    model = LogisticRegression(max_iter=1000).fit(scale.transform(means[:40]), truth[:40])
    expected = model.predict(scale.transform(means[40:]))
    assert answers(path) == dict(zip([row.id for row in samples[40:]], expected, strict=True))


def test_a_row_without_a_modality_is_answered_too(samples, cached, tmp_path) -> None:
    for key in ("mood", "stress"):
        path = beside(
            tmp_path / "p.jsonl", cached, samples, key, split="test", shows=lambda _: True
        )  # type: ignore[arg-type]
        assert list(answers(path)) == [row.id for row in samples[40:]]


def test_where_it_cannot_it_says_why(samples, cached, tmp_path, caplog) -> None:
    def told(**changes: Any) -> str:
        caplog.clear()
        given = {"split": "test", "shows": lambda _: True, "features": cached} | changes
        assert beside(tmp_path / "p.jsonl", samples=samples, key="mood", **given) is None
        return caplog.text

    with caplog.at_level("INFO"):
        assert "another split" in told(split="train")
        assert "not cached" in told(features=Cached(cached.states, cache=None))
        assert "60 of 60 rows are not in the feature cache" in told(features=Cached({}))
        assert "no modality" in told(shows=lambda _: False)
    assert not (tmp_path / "p.jsonl").exists()


def row(name: str, value: float | None) -> dict[str, Any]:
    ends = {"ci_low": None if value is None else value - 0.05, "ci_high": 0.1}
    return {"other": "probe", "n": 9, "metric": {"name": name, "value": value, **ends}}


@pytest.mark.parametrize(
    ("name", "value", "count"),
    [("accuracy", 0.02, 1), ("accuracy", -0.02, 2), ("mae", -0.1, 1), ("mae", 0.1, 2),
     ("accuracy", None, 0)],
)  # fmt: skip
def test_below_the_probe_is_said(name: str, value: float | None, count: int) -> None:
    summary = {"comparisons": [row(name, value), {**row(name, value), "other": "majority"}]}
    found = list(beside_probe(summary))
    assert len(found) == count
    assert ("below the probe" in " ".join(found)) == (count == 2)


def test_a_sure_difference_is_said_as_such() -> None:
    metric = {"name": "accuracy", "value": -0.2, "ci_low": -0.3, "ci_high": -0.1}
    _, line = beside_probe({"comparisons": [{"other": "probe", "n": 9, "metric": metric}]})
    assert line.startswith("the model is below the probe: ")
    unsure = {**metric, "ci_high": 0.1}
    _, line = beside_probe({"comparisons": [{"other": "probe", "n": 9, "metric": unsure}]})
    assert line.startswith("the model is below the probe, if not surely: ")


@pytest.mark.parametrize("number", [1.0, 1.3, 2.0, 4.99, 5.0])
def test_a_number_is_the_mean_of_the_levels_that_stand_for_it(number: float) -> None:
    levels = {f"{value:.1f}": value for value in (1.0, 2.0, 3.5, 5.0)}
    scores = between(number, levels)
    shares = {name: math.exp(score) for name, score in scores.items()}
    assert sum(shares.values()) == pytest.approx(1)
    assert sum(shares[name] * levels[name] for name in levels) == pytest.approx(number)
    assert between(9, levels) == between(5, levels)
    assert between(-9, levels) == between(1, levels)
