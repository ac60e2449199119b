"""What is asked and what is seen: subsets, batches, prompts, a whole evaluation."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from affect_mllm.data.features import Features
from affect_mllm.eval.generate.asking import Asker
from affect_mllm.eval.generate.question import Question
from affect_mllm.eval.generate.views import View, parse_subsets, parse_swaps
from affect_mllm.eval.main import main
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.models.checkpoint import load_model
from affect_mllm.models.decoding import Repeat, TokenSampling
from affect_mllm.types import CheckpointError, ConfigError, Sample
from tests import tiny as parts


@pytest.fixture(scope="module")
def asker(tiny, tiny_run) -> Asker:
    model = load_model(tiny_run / "instruct/final")
    features = replace(tiny.data, cache_dir=None).features(model.transforms(), {})
    return Asker(model, tiny.maker(model), features, "abc", batch_size=3, max_new_tokens=4)


def answers(asker: Asker, samples: Sequence[Sample], subset: Sequence[str]) -> dict[str, dict]:
    found = list(asker.answer(samples, Question(parts.QUESTION), View(tuple(subset))))
    assert sorted(row["id"] for row in found) == sorted(s.id for s in samples)
    return {row["id"]: untimed(row) for row in found}


def untimed(row: dict) -> dict:
    """What is written of it: how long its batch took is another time each time."""
    return {key: value for key, value in row.items() if key != "took"}


def test_only_what_the_subset_names_is_seen(tiny, asker) -> None:
    rows = tiny.samples[:5]
    seen = {
        name: {
            row["id"]: row["modalities"] for row in answers(asker, rows, name.split("+")).values()
        }
        for name in ("face+audio+text", "face+audio", "face", "audio", "text")
    }
    assert seen["face+audio+text"]["c00"] == ["frame", "audio", "text"]
    assert seen["face+audio"]["c00"] == ["frame", "audio"]
    assert seen["face"]["c00"] == ["frame"]
    assert seen["text"]["c00"] == ["text"]
    assert seen["audio"]["c00"] == ["audio"]
    assert seen["face+audio+text"]["c01"] == ["frame", "text"], "c01 has no sound"
    assert seen["face+audio+text"]["c02"] == ["audio", "text"], "c02 is a sound"


def test_modalities_are_named_in_the_prompts_order_whatever_the_caches(
    tiny, asker, monkeypatch
) -> None:
    clip = type(asker.features).clip

    def turned(self, sample: Sample):
        found = clip(self, sample)
        return replace(found, arrays=dict(reversed(found.arrays.items())))

    usual = answers(asker, tiny.samples[:1], ["face", "audio"])
    monkeypatch.setattr(type(asker.features), "clip", turned)
    assert answers(asker, tiny.samples[:1], ["face", "audio"]) == usual


def test_a_row_of_which_nothing_is_left_gets_an_empty_answer(tiny, asker) -> None:
    found = answers(asker, tiny.samples[:4], ["audio"])["c01"]
    assert found["response"] == ""
    assert "no picture, no sound" in found["unseen"]
    assert "error" not in found, "nothing is wrong with its file"
    assert found["checkpoint"] == "abc"
    assert found["prompt_hash"] == asker.stamp(Question(parts.QUESTION))["prompt_hash"]


def test_a_row_that_cannot_be_read_says_what_is_wrong(tiny, asker, tmp_path) -> None:
    (tmp_path / "torn.mp4").write_bytes(b"no video at all" * 9)
    torn = Sample("torn", tmp_path, {"video": "torn.mp4"}, subtitle="x")
    found = answers(asker, [torn], ["face", "text"])["torn"]
    assert found["response"] == ""
    assert "torn.mp4" in found["error"]
    assert "unseen" not in found


def test_answers_do_not_depend_on_batches(tiny, asker) -> None:
    together = answers(asker, tiny.samples, ("face", "audio", "text"))
    single = answers(replace(asker, batch_size=1), tiny.samples, ("face", "audio", "text"))
    assert {k: row["response"] for k, row in together.items()} == {
        k: row["response"] for k, row in single.items()
    }
    for name, row in together.items():
        assert row["gate"].keys() == single[name]["gate"].keys()
        for modality, gate in row["gate"].items():
            assert gate == pytest.approx(single[name]["gate"][modality], abs=1e-5)


class Counted(Features):
    """Counts the clips that it has decoded and that are still held by anyone."""

    live = most = 0

    def clip(self, sample: Sample, *, seed: tuple[int, ...] | None = None):
        found = super().clip(sample, seed=seed)
        for array in found.arrays.values():
            Counted.live += 1
            Counted.most = max(Counted.most, Counted.live)
            weakref.finalize(array, self._gone)
        return found

    @staticmethod
    def _gone() -> None:
        Counted.live -= 1


def test_clips_that_are_held_do_not_grow_with_the_rows(tiny, asker) -> None:
    features = Counted(asker.features.reader, asker.features.transforms)
    held = {}
    for times in (1, 6):
        rows = [replace(s, id=f"{s.id}-{i}") for i in range(times) for s in tiny.samples[:8]]
        Counted.most = 0
        answers(replace(asker, features=features, max_new_tokens=1), rows, ("face", "audio"))
        held[times] = Counted.most
        gc.collect()
        assert Counted.live == 0
    assert held[1] == held[6] <= 2 * (2 * asker.batch_size), "two arrays a clip, two batches"


def test_workers_change_nothing(tiny, asker) -> None:
    rows = [*tiny.samples[:7], Sample("torn", tiny.root, {"video": "manifest.jsonl"})]
    view = ("face", "audio", "text")
    assert answers(replace(asker, workers=2), rows, view) == answers(asker, rows, view)


def test_batches_are_the_same_whatever_is_left_of_them(tiny, asker) -> None:
    """The longest first, by what is planned; those that are chosen are asked as they were."""
    formed: list[list[list[str]]] = []

    def second(batches):
        formed.append([[sample.id for sample in batch] for batch in batches])
        return batches[1:2]

    question = Question(parts.QUESTION)
    for rows in (tiny.samples[:8], tiny.samples[7::-1]):
        found = list(asker.answer(rows, question, choose=second))
        assert [row["id"] for row in found] == formed[-1][1]
    assert formed[0] == formed[1]
    whole = answers(asker, tiny.samples[:8], ("face", "audio", "text"))
    assert [whole[row["id"]] for row in found] == [*map(untimed, found)]
    worded = [Sample(f"s{n}", tiny.root, subtitle="so " * n) for n in (3, 9, 1, 6)]
    list(asker.answer(worded, question, choose=second))
    assert formed[-1] == [["s9", "s6", "s3"], ["s1"]]


def test_a_row_says_what_its_batch_took(tiny, asker) -> None:
    rows = [*tiny.samples[:7], Sample("torn", tiny.root, {"video": "manifest.jsonl"})]
    for one in (asker, replace(asker, labels=("happy", "sad"))):
        found = list(one.answer(rows, Question(parts.QUESTION)))
        assert [row["id"] for row in found if "took" not in row] == ["torn"]
        took = [row["took"] for row in found if "took" in row]
        assert sum(Fraction(1, each["batch_rows"]) for each in took) == 3, "batches of 3, 3 and 1"
        assert len({(each["batch_seconds"], each["batch_rows"]) for each in took}) <= 3
        assert sum(each["batch_seconds"] / each["batch_rows"] for each in took) > 0


def test_drawn_answers_do_not_depend_on_batches(tiny, asker) -> None:
    modalities = ("face", "audio", "text")

    def said(number: int, batch: int, rows: Sequence[Sample]) -> dict[str, str]:
        repeat = Repeat(TokenSampling(temperature=4.0), number)
        one = replace(asker, repeat=repeat, batch_size=batch)
        return {id: row["response"] for id, row in answers(one, rows, modalities).items()}

    first = said(1, 3, tiny.samples)
    assert said(1, 1, tiny.samples[::-1]) == said(1, 7, tiny.samples) == first
    assert said(2, 3, tiny.samples) != first
    greedy = {id: row["response"] for id, row in answers(asker, tiny.samples, modalities).items()}
    assert greedy != first
    stamps = [
        replace(asker, repeat=repeat).stamp(Question("a"))["data"]
        for repeat in (
            *(None, Repeat(TokenSampling(), 1), Repeat(TokenSampling(), 2)),
            *(Repeat(TokenSampling(0.5), 1), Repeat(TokenSampling(seed=1), 1)),
            Repeat(TokenSampling(top_p=0.9), 1),
        )
    ]
    assert len(set(stamps)) == 6
    assert "sampled at temperature 0.7, top_p 1, seed 0, repeat 2" in stamps[2]


def test_the_prompt_hash_tells_the_wording(asker) -> None:
    def told(one: Asker, text: str = parts.QUESTION) -> str:
        return one.stamp(Question(text))["prompt_hash"]

    system = replace(asker.maker, prompt=replace(asker.maker.prompt, system="Look."))
    spans = replace(asker.maker, span_lengths={**asker.maker.span_lengths, "audio": 9})
    others = {told(replace(asker, maker=maker)) for maker in (system, spans)}
    assert len({told(asker), told(asker, "Why?"), *others}) == 4
    assert told(asker) == told(asker)


def test_a_question_may_name_what_the_row_says(tiny, asker) -> None:
    about = Question("Is it {x}?", lambda sample: f"Is it {sample.id}?")
    same = Question("Is it {x}?", lambda sample: "Is it c00?")
    rows, compared = tiny.samples[:3], replace(asker, labels=("happy", "sad"))
    first, second = (
        {r["id"]: r["scores"] for r in compared.answer(rows, question)}
        for question in (about, same)
    )
    assert first["c00"] == pytest.approx(second["c00"])
    for row in ("c01", "c02"):
        assert first[row] != pytest.approx(second[row])


def test_labels_are_compared_instead_of_generated(tiny, asker) -> None:
    labels = ("happy", "sad", "angry")
    compared = replace(asker, labels=labels)
    found = answers(compared, tiny.samples[:5], ("face", "audio", "text"))
    single = answers(replace(compared, batch_size=1), tiny.samples[:5], ("face", "audio", "text"))
    for id, row in found.items():
        assert set(row["scores"]) == set(labels)
        assert row["response"] == max(labels, key=row["scores"].__getitem__)
        assert row["scores"] == pytest.approx(single[id]["scores"], abs=1e-4)
        assert all(value < 0 for value in row["scores"].values())
    assert found["c00"]["data"] != answers(asker, tiny.samples[:1], ("text",))["c00"]["data"]


def test_subsets_by_name() -> None:
    assert len(parse_subsets(["all"])) == 7
    assert parse_subsets(["face+text", "audio"]) == [View(("face", "text")), View(("audio",))]
    assert View(("text", "face")).name == "face+text"
    assert parse_swaps(["audio"]) == [View(swap="audio")]
    with pytest.raises(ConfigError, match="taste"):
        parse_swaps(["taste"])
    with pytest.raises(ConfigError, match="smell"):
        parse_subsets(["face+smell"])


def evaluate(tiny, tiny_run: Path, folder: Path, *more: str) -> int:
    checkpoint = tiny_run / "instruct/final"
    given = [f"checkpoint={checkpoint}", f"run_dir={folder}", "max_new_tokens=4", "batch_size=3"]
    return main([*given, *more])


def test_a_whole_evaluation_scores_what_it_generated(tiny, tiny_run, tmp_path) -> None:
    more = ("subsets=[face+audio+text,audio]", "untrained=true")
    assert evaluate(tiny, tiny_run, tmp_path, *more) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    run = results["runs"]["synthetic"]
    assert {"face+audio+text", "audio", "untrained"} <= set(run["variants"])
    assert run["n"] == 4, "the rows of the test split"
    files = {path.name for path in (tmp_path / "eval/synthetic").iterdir()}
    assert files == {f"{n}.predictions.jsonl" for n in ("face+audio+text", "audio", "untrained")}
    for name in files:
        found = read_predictions(tmp_path / "eval/synthetic" / name)
        assert [row.id for row in found] == ["c10", "c11", "c12", "c13"]
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "eval/synthetic").iterdir()}
    assert evaluate(tiny, tiny_run, tmp_path, *more) == 0
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_an_evaluation_by_likelihoods_has_a_label_for_every_row(tiny, tiny_run, tmp_path) -> None:
    assert evaluate(tiny, tiny_run, tmp_path, "answer_by=likelihood") == 0
    summary = json.loads((tmp_path / "results.json").read_text())["runs"]["synthetic"]
    status = summary["variants"]["face+audio+text"]["status"]
    assert status["ok"] == summary["n"] == 4


def test_labels_are_compared_as_each_rows_question_names_them(tiny, asker) -> None:
    labels, german, rows = ("happy", "sad"), ("Freude", "Trauer"), tiny.samples[:2]

    def scores(words_of, labels) -> dict[str, dict[str, float]]:
        asked = Question(parts.QUESTION, words_of=words_of)
        found = replace(asker, labels=labels).answer(rows, asked, View(("text",)))
        return {row["id"]: row["scores"] for row in found}

    one, other = (row.id for row in rows)
    mixed = scores(lambda row: german if row.id == other else labels, labels)
    plain, translated = scores(None, labels), scores(None, german)
    assert mixed[one] == pytest.approx(plain[one], abs=1e-4)
    expected = {"happy": translated[other]["Freude"], "sad": translated[other]["Trauer"]}
    assert mixed[other] == pytest.approx(expected, abs=1e-4)
    assert mixed[other] != pytest.approx(plain[other], abs=1e-4)


def test_a_publishers_scores_stand_beside_ours_in_the_report(tiny, tiny_run, tmp_path) -> None:
    from affect_mllm.eval.report.page import write_report

    assert evaluate(tiny, tiny_run, tmp_path, "benchmark=dfew") == 0
    summary = json.loads((tmp_path / "results.json").read_text())["runs"]["dfew"]
    table = summary["official"]["table"]
    reference = summary["variants"][summary["reference"]]["metrics"]
    assert {name: row["ours"] for name, row in table.items()} == {
        name: reference[name]["value"] for name in table
    }
    page = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert "As its publisher scores it" in page


def test_an_evaluation_without_a_checkpoint_is_refused(tiny, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        evaluate(tiny, tmp_path / "nothing", tmp_path)
