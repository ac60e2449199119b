"""Which modality is followed: donors of another class, answers that name one class or the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from affect_mllm.eval.main import main
from affect_mllm.eval.modality import View, donors, followed, has
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.types import DataError, Sample


def row(id: str, emotion: str, group: str | None = None, **media: str) -> Sample:
    kinds = media or {"video": "x.mp4"}
    return Sample(id, Path(), kinds, subtitle="words", labels={"emotion": emotion}, group=group)


ROWS = [row(f"r{i}", ("happy", "sad", "angry")[i % 3], group=f"g{i // 2}") for i in range(20)]


@pytest.mark.parametrize("seed", range(5))
def test_a_donor_has_another_class_and_another_group(seed: int) -> None:
    chosen = donors(ROWS, "audio", truth="emotion", seed=seed)
    assert chosen.keys() == {sample.id for sample in ROWS}
    for sample in ROWS:
        donor = chosen[sample.id]
        assert donor.labels["emotion"] != sample.labels["emotion"]
        assert donor.group != sample.group


def test_donors_depend_on_the_seed_alone() -> None:
    first = donors(ROWS, "face", truth="emotion")
    assert first == donors(ROWS[::-1], "face", truth="emotion")
    assert first != donors(ROWS, "face", truth="emotion", seed=1)


def test_only_rows_with_the_modality_give_and_take() -> None:
    photo = [row("p0", "sad", image="a.png"), row("p1", "happy", image="b.png")]
    chosen = donors([*ROWS, *photo], "audio", truth="emotion")
    ids = {*chosen, *(donor.id for donor in chosen.values())}
    assert not ids & {"p0", "p1"}
    assert has(photo[0], "face")
    assert not has(photo[0], "audio")
    with pytest.raises(DataError, match="swap of audio"):
        donors(photo, "audio", truth="emotion")
    with pytest.raises(DataError, match="different emotion"):
        donors([row("a", "sad"), row("b", "sad")], "text", truth="emotion")


def test_shares_of_donor_own_and_neither() -> None:
    own = {"a": "sad", "b": "sad", "c": "sad", "d": "sad", "e": "sad"}
    donor = {"a": "happy", "b": "happy", "c": "angry", "d": "happy"}
    answers = {"a": "happy", "b": "sad", "c": "happy", "d": None, "e": "happy"}
    found = followed(answers, own, donor)
    assert {name: share["value"] for name, share in found.items()} == {
        "donor": 0.25,
        "own": 0.25,
        "neither": 0.5,
    }
    assert found["donor"]["n"] == 4, "e has no donor"
    assert found["donor"]["ci_low"] < 0.25 < found["donor"]["ci_high"]


def test_a_swapped_evaluation_answers_about_the_donors_part(tiny, tiny_run, tmp_path) -> None:
    given = [
        f"checkpoint={tiny_run / 'instruct/final'}",
        f"run_dir={tmp_path}",
        "max_new_tokens=4",
        "subsets=[face+audio+text,text]",
        "swaps=[text,audio]",
    ]
    assert main(given) == 0
    folder = tmp_path / "eval/synthetic"
    lines = (folder / "swap-text.predictions.jsonl").read_text().splitlines()
    swapped = {r["id"]: r for r in map(json.loads, lines)}
    truth = {s.id: s.labels["emotion"] for s in tiny.samples}
    assert len(swapped) == 4
    for id, found in swapped.items():
        assert truth[found["donor"]] != truth[id]
        assert found["swap"] == "text"
    whole = {r.id: r for r in read_predictions(folder / "face+audio+text.predictions.jsonl")}
    assert {id: r["modalities"] for id, r in swapped.items()} == {
        id: list(r.modalities) for id, r in whole.items()
    }, "the same modalities are there, one of another clip"
    summary = json.loads((tmp_path / "results.json").read_text())["runs"]["synthetic"]
    assert set(summary["followed"]) == {"text", "audio"}
    shares = summary["followed"]["text"]
    assert sum(share["value"] for share in shares.values()) == pytest.approx(1)
    assert {"swap-text", "swap-audio", "text"} <= set(summary["variants"])
    assert View(swap="text").name == "swap-text"
