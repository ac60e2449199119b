"""The rows that recipes write are rows that the benchmarks of their data sets can score."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect_mllm.data import manifest
from affect_mllm.eval.benchmarks import benchmark_names, load_task
from tests.recipes.kit import SUBSET, Kit, run
from tests.recipes.makers import MAKERS

# benchmark → its recipe, where they are not called alike, and what the recipe is told
NAMED = {
    "mme_emotion_sets": ("mme_emotion", []),
    "mme_emotion_sentiment": ("mme_emotion", []),
    "mme_emotion_intent": ("mme_emotion", []),
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
