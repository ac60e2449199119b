"""The mixture: decided by seed and place alone, every pass visits every row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from affect_mllm.data import manifest
from affect_mllm.data.mixture import Mixture, Source, check_instructions
from affect_mllm.data.template import Instruction
from affect_mllm.types import AffectError, ConfigError, Sample


@pytest.fixture
def corpora(tmp_path: Path) -> list[Source]:
    """Seven rows of which five train, and four rows asked about three times as often."""
    for name, count, split in (("a", 5, "train"), ("b", 4, "train")):
        rows = [Sample(f"{name}{i}", tmp_path, subtitle="x", split=split) for i in range(count)]
        if name == "a":
            rows += [Sample(f"test{i}", tmp_path, subtitle="x", split="test") for i in range(2)]
        manifest.write(rows, tmp_path / f"{name}.jsonl")
    return [
        Source(str(tmp_path / "a.jsonl"), "train", {"label": 3, "describe": 1}),
        Source(str(tmp_path / "b.jsonl"), "train", {"label": 1}, weight=3.0),
    ]


def drawn(mixture: Mixture) -> list[tuple[str, str, tuple[int, int]]]:
    return [
        (d.sample.id, d.instruction, d.seed) for d in map(mixture.__getitem__, range(len(mixture)))
    ]


def test_a_place_is_decided_by_seed_and_place_alone(corpora) -> None:
    long, short = Mixture(corpora, seed=4, places=60), Mixture(corpora, seed=4, places=20)
    assert drawn(long)[:20] == drawn(short)
    order = [37, 3, 37, 59, 0]
    assert [drawn(long)[i] for i in order] == [
        (long[i].sample.id, long[i].instruction, long[i].seed) for i in order
    ]
    ids = [row[0] for row in drawn(Mixture(corpora, seed=5, places=60))]
    assert ids != [row[0] for row in drawn(long)]


def test_every_pass_visits_every_row_once_in_another_order(corpora) -> None:
    mixture = Mixture(corpora[:1], seed=1, places=50)
    ids = [row[0] for row in drawn(mixture)]
    passes = [tuple(ids[i : i + 5]) for i in range(0, 50, 5)]
    for one in passes:
        assert sorted(one) == ["a0", "a1", "a2", "a3", "a4"], "no test row, none twice"
    assert len(set(passes)) > 5


def test_passes_hold_inside_a_mixture_too(corpora) -> None:
    ids = [row[0] for row in drawn(Mixture(corpora, seed=1, places=200))]
    mine = [i for i in ids if i.startswith("b")]
    for start in range(0, len(mine) - 3, 4):
        assert sorted(mine[start : start + 4]) == ["b0", "b1", "b2", "b3"]


def test_weights_are_shares(corpora) -> None:
    rows = drawn(Mixture(corpora, seed=2, places=4000))
    count = Counter(row[0][0] for row in rows)
    assert count["b"] / 4000 == pytest.approx(0.75, abs=0.04)
    asked = Counter(row[1] for row in rows if row[0].startswith("a"))
    assert asked["describe"] / asked.total() == pytest.approx(0.25, abs=0.06)


def test_samples_are_all_rows_that_can_be_drawn(corpora) -> None:
    found = {sample.id for sample in Mixture([*corpora, corpora[0]], seed=1, places=3).samples()}
    assert found == {*(f"a{i}" for i in range(5)), *(f"b{i}" for i in range(4))}


def test_wrong_sources_are_named(corpora) -> None:
    with pytest.raises(ConfigError, match="at least one source"):
        Mixture([], seed=1, places=3)
    with pytest.raises(AffectError, match=r"a\.jsonl(.|\n)*'nosplit'"):
        Mixture([Source(corpora[0].manifest, "nosplit", {"label": 1})], seed=1, places=3)
    with pytest.raises(ConfigError, match=r"sources\[0\](.|\n)*describe"):
        check_instructions(corpora, {"label": Instruction(("?",), "x")})
