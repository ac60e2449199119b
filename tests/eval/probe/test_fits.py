"""Probes answer what scikit-learn's cross-validation does, and never for a group they have seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, f1_score, recall_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from affect_mllm.eval.probe.fits import asked, every_probe
from affect_mllm.eval.probe.states import Part, words_of
from affect_mllm.types import ConfigError, DataError, Sample

ROWS, GROUPS = 60, 6
WORDS = {"happy": "what a lovely day", "sad": "it rains and rains", "angry": "go away at once"}


def rows(labels: list) -> list[Sample]:
    return [
        Sample(
            id=f"r{i:02}",
            root=Path(),
            labels={"emotion": label},
            split="test" if i % 3 == 0 else "train",
            subtitle=f"{WORDS.get(label, 'well')} {i % 7}",
        )
        for i, label in enumerate(labels)
    ]


@pytest.fixture
def made():
    """Rows of three classes, groups, and vectors that say something of both."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, ROWS)
    groups = [f"g{i % GROUPS}" for i in range(ROWS)]
    vectors = rng.normal(size=(ROWS, 8)) + classes[:, None] * rng.normal(size=8)
    vectors[:, 7] *= 1000  # of another scale
    return rows([list(WORDS)[c] for c in classes]), groups, vectors.astype(np.float32)


def part(vectors, name: str = "made", layer: str = "0") -> Part:
    return Part(name, layer, "mean", np.arange(len(vectors)), vectors)


def test_answers_are_those_of_scikit_learn_leaving_one_group_out(made) -> None:
    samples, groups, vectors = made
    found, _ = every_probe(asked(samples, "emotion", groups=groups, folds=0), [[part(vectors)]])
    truth = [sample.labels["emotion"] for sample in samples]
    models = {
        "linear": LogisticRegression(max_iter=1000),
        "knn": KNeighborsClassifier(5, metric="cosine"),
    }
    for row in found[1:]:
        model = make_pipeline(StandardScaler(), models[row.probe])
        said = cross_val_predict(model, vectors, truth, groups=groups, cv=LeaveOneGroupOut())
        assert row.answers == said.tolist()
        values = {name: each["value"] for name, each in row.metrics.items()}
        assert values["accuracy"] == pytest.approx(accuracy_score(truth, said))
        assert values["uar"] == pytest.approx(recall_score(truth, said, average="macro"))
        assert values["weighted_f1"] == pytest.approx(f1_score(truth, said, average="weighted"))
    assert found[0].source == "majority"
    assert found[1].metrics["accuracy"]["value"] > found[0].metrics["accuracy"]["value"]


def test_words_are_counted_in_the_rows_that_are_fitted_on(made) -> None:
    samples, groups, _ = made
    words = words_of(samples)
    assert words is not None
    found, _ = every_probe(asked(samples, "emotion", groups=groups, folds=0), [[words]])
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(max_iter=1000)
    )
    texts = [sample.subtitle for sample in samples]
    truth = [sample.labels["emotion"] for sample in samples]
    said = cross_val_predict(model, texts, truth, groups=groups, cv=LeaveOneGroupOut())
    assert found[1].answers == said.tolist()


def test_numbers_are_those_of_ridge_regression(made) -> None:
    _, groups, vectors = made
    truth = (vectors @ np.linspace(-1, 1, 8) / 100).astype(float).tolist()
    what = asked(rows(truth), "emotion", groups=groups, folds=0)
    found, _ = every_probe(what, [[part(vectors)]])
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 6, 9)))
    said = cross_val_predict(model, vectors, truth, groups=groups, cv=LeaveOneGroupOut())
    np.testing.assert_allclose(found[1].answers, said)
    assert found[1].metrics["pearson"]["value"] == pytest.approx(np.corrcoef(truth, said)[0, 1])


def test_what_only_tells_a_speaker_says_nothing_of_another() -> None:
    """Each speaker has one label, and vectors name him: within a fold that is all right, across
    folds nothing of it holds."""
    groups = [f"g{i % GROUPS}" for i in range(ROWS)]
    samples = rows([["happy", "sad", "angry"][i % GROUPS % 3] for i in range(ROWS)])
    vectors = np.eye(GROUPS, dtype=np.float32)[[i % GROUPS for i in range(ROWS)]]
    for folds in (0, 3):
        found, _ = every_probe(
            asked(samples, "emotion", groups=groups, folds=folds), [[part(vectors)]]
        )
        assert all(row.metrics["accuracy"]["value"] <= 0.5 for row in found)


def test_folds_cut_no_group_and_answer_for_every_row_once(made) -> None:
    samples, groups, _ = made
    what = asked(samples, "emotion", groups=groups, folds=4)
    seen = []
    for fit, answer in what.folds(np.arange(ROWS)):
        assert not {groups[i] for i in fit} & {groups[i] for i in answer}
        assert sorted([*fit, *answer]) == list(range(ROWS))
        seen += answer.tolist()
    assert sorted(seen) == list(range(ROWS))


def test_a_split_is_answered_for_by_probes_of_the_others(made) -> None:
    samples, groups, vectors = made
    what = asked(samples, "emotion", groups=groups, folds=0, test="test")
    _, best = every_probe(what, [[part(vectors)]])
    at = np.array([sample.split == "test" for sample in samples])
    truth = np.array([sample.labels["emotion"] for sample in samples])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    said = model.fit(vectors[~at], truth[~at]).predict(vectors[at])
    assert best["made"].answers == said.tolist()
    assert best["made"].rows.tolist() == np.flatnonzero(at).tolist()


def test_the_best_layers_of_two_sources_are_joined_on_the_rows_of_both(made) -> None:
    samples, groups, vectors = made
    noise = np.random.default_rng(1).normal(size=vectors.shape).astype(np.float32)
    some = np.arange(6, ROWS)
    sources = [
        [part(noise, layer="0"), part(vectors, layer="1")],
        [Part("other", "", "mean", some, noise[some])],
    ]
    found, best = every_probe(asked(samples, "emotion", groups=groups, folds=0), sources)
    assert best["made"].layer == "1"
    both = np.concatenate([vectors[some], noise[some]], 1)
    truth = [samples[i].labels["emotion"] for i in some]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    said = cross_val_predict(
        model, both, truth, groups=[groups[i] for i in some], cv=LeaveOneGroupOut()
    )
    assert found[-1].source == "made + other"
    assert found[-1].answers == said.tolist()


def test_what_cannot_be_probed_is_refused(made) -> None:
    samples, groups, _ = made
    with pytest.raises(DataError, match="neither classes nor numbers"):
        asked(rows([f"a text of its own {i}" for i in range(ROWS)]), "emotion", groups=groups,
              folds=0)  # fmt: skip
    with pytest.raises(ConfigError, match="7 of 6 groups"):
        asked(samples, "emotion", groups=groups, folds=7)
    with pytest.raises(ConfigError, match="1 of 1 groups"):
        asked(samples, "emotion", groups=["g"] * ROWS, folds=0)
    with pytest.raises(ConfigError, match="all rows or none"):
        asked(samples, "emotion", groups=groups, folds=0, test="dev")
