"""Linear and k-NN probes of vectors, always fitted on other groups than they answer for.

Vectors are standardised on the rows that a probe is fitted on. Classes: logistic regression
(scikit-learn, L2, C = 1, of words alone 10) and the 5 nearest by cosine; numbers: ridge regression
whose strength is chosen among powers of ten by leaving rows of the training part out, and the mean
of the 5 nearest. Alain and Bengio 2016 for linear probes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.intervals import measure, none_of
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.probe.states import Part, joined
from affect_mllm.types import ConfigError, DataError, Sample

Kind = Literal["classes", "number"]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]  # places of rows to fit on, and to answer for
Block = NDArray[Any]  # `[rows, D]` numbers, or `[rows]` texts
PROBES = ("linear", "knn")
REPORTED = {"classes": ("accuracy", "uar", "weighted_f1"), "number": ("pearson", "ccc")}
NEIGHBOURS = 5
# Marks, too, which MELD's emotions show in; docs/people.md says by what they and C were chosen.
WORDS = {"ngram_range": (1, 2), "sublinear_tf": True, "token_pattern": r"(?u)\w+|[!?.,]+"}


@dataclass(frozen=True, eq=False)
class Probed:
    """The answers of one probe: `rows` are places in the list of samples, `answers` what it said of
    each. `metrics`: name → value, ci_low, ci_high.
    """

    source: str
    layer: str
    pool: str
    probe: str
    rows: NDArray[np.int64]
    answers: list[Any]
    metrics: dict[str, dict[str, float | None]]

    def row(self) -> dict[str, Any]:
        """Itself without the answers, for a table."""
        told = {"source": self.source, "layer": self.layer, "pool": self.pool}
        return {**told, "probe": self.probe, "n": len(self.rows), "metrics": self.metrics}


@dataclass(frozen=True)
class Asked:
    """What is asked of the vectors of `samples`: `truth` of each, and how it is told apart.

    `fold_of` is the number of the fold that answers for a row, −1 for rows that are only fitted on;
    `groups` are what folds never cut.
    """

    samples: Sequence[Sample]
    kind: Kind
    truth: NDArray[Any]
    groups: Sequence[str]
    fold_of: NDArray[np.int64]

    def folds(self, rows: NDArray[np.int64]) -> Iterator[Fold]:
        """Places in `rows` to fit on, and to answer for."""
        mine = self.fold_of[rows]
        for number in np.unique(mine[mine >= 0]):
            yield np.flatnonzero(mine != number), np.flatnonzero(mine == number)

    def probed(
        self,
        source: str,
        rows: NDArray[np.int64],
        blocks: Sequence[Block],
        *,
        probe: str,
        layer: str = "",
        pool: str = "",
    ) -> Probed:
        """One probe's answers for those of `rows` that are answered for, and what they are worth.

        `blocks[i][j]` belongs to `rows[j]`; several are joined.
        """
        truth = self.truth[rows]
        answers = np.empty(len(rows), dtype=truth.dtype)
        said = self.fold_of[rows] >= 0
        for fit, answer in self.folds(rows):
            known, given = ([block[at] for block in blocks] for at in (fit, answer))
            answers[answer] = _answers(self.kind, probe, known, truth[fit], given)
        kept = rows[said]
        found = answers[said].tolist()
        return Probed(source, layer, pool, probe, kept, found, self._measured(kept, found))

    def _measured(
        self, rows: NDArray[np.int64], answers: Sequence[Any]
    ) -> dict[str, dict[str, float | None]]:
        truth = self.truth[rows].tolist()
        labels = tuple(sorted(set(self.truth.tolist()))) if self.kind == "classes" else ()
        numbers = [0.0, 1.0] if self.kind == "classes" else self.truth.tolist()
        read = Read(
            [self.samples[row] for row in rows],
            [None] * len(rows),
            truth,
            list(answers),
            ["ok"] * len(rows),
            labels,
            float(min(numbers)),
            float(max(numbers)),
        )
        wanted = {name: METRICS[name] for name in REPORTED[self.kind]}
        found = measure(read, wanted, [str(self.groups[row]) for row in rows.tolist()])
        return {
            name: {
                "value": none_of(each.value),
                "ci_low": none_of(each.ci_low),
                "ci_high": none_of(each.ci_high),
            }
            for name, each in found.items()
        }


def asked(
    samples: Sequence[Sample],
    key: str,
    *,
    groups: Sequence[str],
    folds: int,
    test: str | None = None,
    seed: int = 0,
) -> Asked:
    """What a label `key` asks of the rows that have it, all of `samples`.

    With `test`, probes are fitted on all other splits and answer for that one. Without it the rows
    are answered for in turn: `folds` parts that never cut a group, 0 for one group at a time.
    Raises DataError for labels that are neither classes nor numbers, and ConfigError where there
    are fewer groups than parts.
    """
    values = [sample.labels[key] for sample in samples]
    kind = _kind(key, values)
    truth = np.array(values, dtype=np.float64 if kind == "number" else object)
    if test is not None:
        fold_of = np.array([0 if sample.split == test else -1 for sample in samples])
        if not 0 < int((fold_of == 0).sum()) < len(samples):
            raise ConfigError("--test", f"{test}: all rows or none", expected="a split of some")
        return Asked(samples, kind, truth, groups, fold_of)
    names = sorted(set(groups))
    parts = folds or len(names)
    if len(names) < max(parts, 2):
        raise ConfigError(
            "--folds", f"{parts} of {len(names)} groups", expected="at least two, and no more parts"
        )
    return Asked(samples, kind, truth, groups, _dealt(groups, parts, seed))


def majority(asked: Asked, rows: NDArray[np.int64]) -> Probed:
    """The commonest class, or the mean, of the rows that are fitted on: what knows nothing."""
    return asked.probed("majority", rows, [np.zeros((len(rows), 1))], probe="none")


def best(found: Sequence[Probed]) -> Probed:
    """The one whose first metric is highest."""
    return max(found, key=lambda each: next(iter(each.metrics.values()))["value"] or -1.0)


def every_probe(
    what: Asked, sources: Sequence[Sequence[Part]]
) -> tuple[list[Probed], dict[str, Probed]]:
    """Every probe of every part, and of the best part of each source joined; the best by source.

    Best by the linear probe's first metric on these same answers, so a little too good.
    """
    found = [majority(what, np.arange(len(what.samples)))]
    tops: list[Part] = []
    best_ones: dict[str, Probed] = {}
    for parts in sources:
        linear = []
        for part in parts:
            for probe in PROBES:
                where = {"layer": part.layer, "pool": part.pool}
                made = what.probed(part.source, part.rows, [part.vectors], probe=probe, **where)
                found.append(made)
                if probe == "linear":
                    linear.append(made)
        best_ones[parts[0].source] = best(linear)
        tops.append(parts[linear.index(best(linear))])
    if len(tops) > 1:
        rows, blocks = joined(tops)
        name = " + ".join(part.source for part in tops)
        made = what.probed(name, rows, blocks, probe="linear")
        found.append(made)
        best_ones["joined"] = made
    return found, best_ones


def _kind(key: str, values: Sequence[Any]) -> Kind:
    if all(isinstance(value, str) for value in values) and 1 < len(set(values)) <= len(values) / 2:
        return "classes"
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return "number"
    raise DataError(
        f"labels.{key}", "neither classes nor numbers", expected="a few words, or numbers"
    )


def _dealt(groups: Sequence[str], parts: int, seed: int) -> NDArray[np.int64]:
    """The part of each row: groups are shuffled, and each goes to the part with fewest rows."""
    names, sizes = np.unique(np.array(groups), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    if parts < len(names):
        order = sorted(order, key=lambda place: -sizes[place])
    held, part_of = np.zeros(parts, dtype=np.int64), {}
    for place in order:
        part = int(held.argmin())
        part_of[names[place]] = part
        held[part] += sizes[place]
    return np.array([part_of[group] for group in groups])


def _answers(
    kind: Kind, probe: str, known: Sequence[Block], truth: NDArray[Any], asked: Sequence[Block]
) -> NDArray[Any]:
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    near = min(NEIGHBOURS, len(truth))
    of_words = len(known) == 1 and known[0].dtype == object
    classes = {
        "linear": LogisticRegression(C=10.0 if of_words else 1.0, max_iter=1000),
        "knn": KNeighborsClassifier(near, metric="cosine"),
        "none": DummyClassifier(strategy="prior"),
    }
    numbers = {
        "linear": RidgeCV(np.logspace(-2, 6, 9)),
        "knn": KNeighborsRegressor(near, metric="cosine"),
        "none": DummyRegressor(),
    }
    one = len(set(truth.tolist())) == 1
    model: Any = (classes if kind == "classes" else numbers)["none" if one else probe]
    fitted, given = _scaled(known, asked)
    return model.fit(fitted, truth).predict(given)


def _scaled(known: Sequence[Block], asked: Sequence[Block]) -> tuple[Any, Any]:
    """All blocks side by side, scaled by those that are known: words as TF-IDF of words, marks and
    pairs, numbers to mean 0 and deviation 1.
    """
    from scipy.sparse import csr_matrix, hstack, issparse
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import StandardScaler

    pairs = []
    for ours, theirs in zip(known, asked, strict=True):
        words = ours.dtype == object
        scale = TfidfVectorizer(**WORDS) if words else StandardScaler()
        pairs.append((scale.fit_transform(ours), scale.transform(theirs)))
    if len(pairs) == 1:
        return pairs[0]
    if any(issparse(each) for each, _ in pairs):
        fitted, given = (
            hstack([csr_matrix(x) for x in side], "csr") for side in zip(*pairs, strict=True)
        )
        return fitted, given
    fitted, given = (np.concatenate(side, 1) for side in zip(*pairs, strict=True))
    return fitted, given
