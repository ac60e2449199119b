"""The rows that recipes write are rows that the benchmarks of their data sets can score."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from affect_mllm.data import manifest
from affect_mllm.eval.benchmarks import benchmark_names, load_task
from affect_mllm.eval.prediction_forms import Form, matching
from affect_mllm.eval.predictions import Prediction, read_predictions
from affect_mllm.eval.score.scoring import score
from tests.recipes.kit import SUBSET, Kit, run
from tests.recipes.makers import MAKERS

# benchmark → its recipe, where they are not called alike, and what the recipe is told
NAMED = {
    "mme_emotion_sets": ("mme_emotion", []),
    "mme_emotion_sentiment": ("mme_emotion", []),
    "mme_emotion_intent": ("mme_emotion", []),
    "v2v_listwise": ("v2v", []),
    "emobench_m_fgmsa": ("emobench_m", ["--set", "FGMSA"]),
    "emobench_m_mc_eiu": ("emobench_m", ["--set", "MC-EIU"]),
    "emobench_m_meld": ("emobench_m", ["--set", "MELD"]),
    "emobench_m_mer2023": ("emobench_m", ["--set", "mer2023"]),
    "emobench_m_mustard": ("emobench_m", ["--set", "MUSTARD"]),
    "emobench_m_ravdess_song": ("emobench_m", ["--set", "RAVDSS_song"]),
    "emobench_m_ravdess_speech": ("emobench_m", ["--set", "RAVDSS_speech"]),
    "emobench_m_sentiment": ("emobench_m", ["--set", "ch-simsv2s"]),
    "emobench_m_smile": ("emobench_m", ["--set", "smile"]),
    "emobench_m_ur_funny": ("emobench_m", ["--set", "funny"]),
    "aeb_sst": ("aeb", []),
    "aeb_sst5": ("aeb", []),
    "aeb_tdt": ("aeb", []),
    "aeb_emobank": ("aeb", []),
    "aeb_goemotions": ("aeb", []),
    "aeb_vader": ("aeb", []),
    "eemo_bench_perception": ("eemo_bench", []),
    "mer2026_track3": ("mer2026", []),
    "vecbench_fi2": ("vecbench", []),
    "ov_mer": ("ov_merd", []),
    "crema_d": ("crema_d", ["--fold", "1"]),
    "ravdess": ("ravdess", ["--fold", "1"]),
    "meld_closed": ("meld", []),
    "meld_sentiment": ("meld", []),
    "iemocap4": ("iemocap", ["--classes", "4"]),
    "iemocap4_closed": ("iemocap", ["--classes", "4"]),
    "iemocap6": ("iemocap", ["--classes", "6"]),
    "cmu_mosi_intensity": ("cmu_mosi", []),
    "cmu_mosei_intensity": ("cmu_mosei", []),
    "ch_sims_intensity": ("ch_sims", []),
    "ch_sims_v2_intensity": ("ch_sims_v2", []),
    "mmbench_v11": ("mmbench", ["--release", "1.1"]),
    "video_mme_subtitles": ("video_mme", ["--subtitles"]),
}
SCORED = {name: (name, []) for name in benchmark_names() if name in MAKERS} | NAMED


def test_the_core_recipes_have_their_benchmarks() -> None:
    core = {"mer2023", "mer2024", "ov_merd_plus", "emer", "meld", "iemocap", "cmu_mosi"}
    core |= {"cmu_mosei", "ch_sims", "ch_sims_v2", "dfew", "mafw"}
    assert core <= {recipe for recipe, _ in SCORED.values()}


@pytest.mark.parametrize("name", sorted(SCORED))
def test_a_benchmark_finds_its_questions_and_its_truth(name: str, tmp_path: Path, kit: Kit) -> None:
    recipe, told = SCORED[name]
    made = MAKERS[recipe](tmp_path, kit)
    ran = run(recipe, [*made.args, *told, SUBSET], tmp_path)
    assert ran.code == 0, ran.err
    task = load_task(name)
    samples = task.select(manifest.read(ran.manifests[0], split=task.split))
    assert samples
    for sample in samples:
        assert task.ask(sample)
        assert task.truth_of(sample) is not None


@pytest.mark.parametrize("kinds", [7, 25])
def test_vecbenchs_classes_are_those_that_its_rows_list(
    kinds: int, tmp_path: Path, kit: Kit
) -> None:
    names = [f"feeling {at}" for at in range(kinds)][::-1]
    MAKERS["vecbench"](tmp_path, kit)
    path = tmp_path / "vecbench.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row |= {"task": f"WebEmo-{kinds}", "candidates": names, "ground_truth": names[2]}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = run("vecbench", [str(tmp_path), "--task", f"WebEmo-{kinds}", SUBSET], tmp_path)
    assert ran.code == 0, ran.err
    task = load_task(f"vecbench_webemo{kinds}", ran.manifests[0])
    assert list(task.labels) == names
    samples = task.select(manifest.read(ran.manifests[0]))
    assert task.ask(samples[0]).endswith(f"one of: {', '.join(names)}.")
    answers = [Prediction(sample.id, response="Feeling 2", confidence=0.5) for sample in samples]
    answers[0] = Prediction(samples[0].id, response=names[2], confidence=1.0)
    found = score(task, samples, answers)["metrics"]
    assert found["accuracy"]["value"] == pytest.approx(1 / 3)
    assert found["ece"]["value"] == pytest.approx((2 * 0.5 + 0) / 3)


def test_avamergs_emotions_are_those_of_its_rows(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["avamerg"](tmp_path, kit)
    ran = run("avamerg", [*made.args, SUBSET], tmp_path)
    task = load_task("avamerg_emotion", ran.manifests[0])
    (sample,) = task.select(manifest.read(ran.manifests[0]))
    assert task.labels == ("anxious",)
    asked = task.ask(sample)
    assert asked.startswith("Speaker (utt0): I fell.\n")
    assert asked.endswith("Answer with one of: anxious.")


# benchmark → the publisher's table of its rows, to which others add a column of answers
TABLES = {
    "meld_closed": "test_sent_emo.csv",
    "cmu_mosi": "label.csv",
    "cmu_mosei": "label.csv",
    "ch_sims": "label.csv",
    "ch_sims_v2": "meta.csv",
    "dfew": "test(single-labeled)/set_1.csv",
}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_publishers_table_with_answers_is_matched_untold(
    name: str, tmp_path: Path, kit: Kit
) -> None:
    recipe, told = SCORED[name]
    ran = run(recipe, [*MAKERS[recipe](tmp_path, kit).args, *told, SUBSET], tmp_path)
    task = load_task(name)
    known = {sample.id for sample in manifest.read(ran.manifests[0])}
    (path,) = tmp_path.rglob(TABLES[name])
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [{**row, "response": "?"} for row in csv.DictReader(file)]
    answers = tmp_path / "answers.csv"
    with answers.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    form = matching(answers, Form(), known, task.id_templates)
    found = read_predictions(answers, known_ids=known, form=form)
    assert len(found) == len(rows) > 0


@pytest.mark.parametrize("name", sorted(each for each in SCORED if load_task(each).ids))
def test_a_clips_file_is_its_id(name: str, tmp_path: Path, kit: Kit) -> None:
    recipe, told = SCORED[name]
    ran = run(recipe, [*MAKERS[recipe](tmp_path, kit).args, *told, SUBSET], tmp_path)
    task = load_task(name)
    samples = task.select(manifest.read(ran.manifests[0]))
    said = [f"some/{sample.id.removeprefix('test_')}.mp4" for sample in samples]
    answers = tmp_path / "answers.csv"
    answers.write_text("id,response\n" + "".join(f"{each},?\n" for each in said))
    known = {sample.id for sample in samples}
    form = matching(answers, Form(), known, task.id_templates)
    found = read_predictions(answers, known_ids=known, form=form)
    assert [row.id for row in found] == [sample.id for sample in samples]
