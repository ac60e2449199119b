"""Which modality is followed: donors of another class, answers that name one class or the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from affect_mllm.eval.generate.requirements import check_classes
from affect_mllm.eval.generate.views import View, donors, followed, has, parse_subsets
from affect_mllm.eval.main import main
from affect_mllm.eval.metrics.registry import metrics_of
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.eval.task import Task
from affect_mllm.types import ConfigError, DataError, Sample


def row(id: str, emotion: str, group: str | None = None, **media: str) -> Sample:
    kinds = media or {"video": "x.mp4"}
    return Sample(id, Path(), kinds, subtitle="words", labels={"emotion": emotion}, group=group)


def emotion_of(sample: Sample) -> str:
    return sample.labels["emotion"]


ROWS = [row(f"r{i}", ("happy", "sad", "angry")[i % 3], group=f"g{i // 2}") for i in range(20)]


@pytest.mark.parametrize("seed", range(5))
def test_a_donor_has_another_class_and_another_group(seed: int) -> None:
    chosen = donors(ROWS, "audio", emotion_of, seed=seed)
    assert chosen.keys() == {sample.id for sample in ROWS}
    for sample in ROWS:
        donor = chosen[sample.id]
        assert donor.labels["emotion"] != sample.labels["emotion"]
        assert donor.group != sample.group


def test_donors_depend_on_the_seed_alone() -> None:
    first = donors(ROWS, "face", emotion_of)
    assert first == donors(ROWS[::-1], "face", emotion_of)
    assert first != donors(ROWS, "face", emotion_of, seed=1)


def test_only_rows_with_the_modality_give_and_take() -> None:
    photo = [row("p0", "sad", image="a.png"), row("p1", "happy", image="b.png")]
    chosen = donors([*ROWS, *photo], "audio", emotion_of)
    ids = {*chosen, *(donor.id for donor in chosen.values())}
    assert not ids & {"p0", "p1"}
    assert has(photo[0], "face")
    assert not has(photo[0], "audio")
    with pytest.raises(DataError, match="swap of audio"):
        donors(photo, "audio", emotion_of)
    with pytest.raises(DataError, match="different classes"):
        donors([row("a", "sad"), row("b", "sad")], "text", emotion_of)


def test_a_donor_differs_in_the_tasks_class_not_in_the_raw_label() -> None:
    rows = [row(f"r{i}", value) for i, value in enumerate(("0.5", "2.5", "3", "-1"))]
    sign = {"0.5": "positive", "2.5": "positive", "3": "positive", "-1": "negative"}

    def polarity(sample: Sample) -> str:
        return sign[sample.labels["emotion"]]

    own = {sample.id: polarity(sample) for sample in rows}
    for seed in range(5):
        chosen = donors(rows, "audio", polarity, seed=seed)
        assert all(own[chosen[id].id] != own[id] for id in own)
        theirs = {id: own[donor.id] for id, donor in chosen.items()}
        groups = {id: id for id in own}
        assert followed(own, own, theirs, groups)["own"]["value"] == 1.0
    with pytest.raises(DataError, match="different classes"):
        donors(rows[:3], "audio", polarity)


@pytest.mark.parametrize("kind", ["regression", "distribution", "open_vocabulary", "description"])
def test_a_task_without_classes_has_no_swaps(kind: str) -> None:
    more: dict = {
        "regression": {"low": -3, "high": 3},
        "open_vocabulary": {},
        "distribution": {"labels": ("sad", "happy")},
        "description": {},
    }
    one = Task("t", "1", "?", kind=kind, metrics=metrics_of(kind)[:1], **more[kind])  # type: ignore[arg-type]
    check_classes(one, [])
    with pytest.raises(ConfigError, match=f"swaps(.|\n)*{kind}"):
        check_classes(one, ["audio"])


def test_no_subset_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        parse_subsets([])
    assert all(view.swap is None for view in parse_subsets(["all"]))


def test_shares_of_donor_own_and_neither() -> None:
    own = {"a": "sad", "b": "sad", "c": "sad", "d": "sad", "e": "sad"}
    donor = {"a": "happy", "b": "happy", "c": "angry", "d": "happy"}
    answers = {"a": "happy", "b": "sad", "c": "happy", "d": None, "e": "happy"}
    found = followed(answers, own, donor, {name: name for name in own})
    assert {name: share["value"] for name, share in found.items()} == {
        "donor": 0.25,
        "own": 0.25,
        "neither": 0.5,
    }
    assert found["donor"]["n"] == 4, "e has no donor"
    assert found["donor"]["ci_low"] < 0.25 < found["donor"]["ci_high"]
    one = followed(answers, own, donor, dict.fromkeys(own, "one group"))
    assert (one["donor"]["value"], one["donor"]["ci_low"]) == (0.25, None)


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
