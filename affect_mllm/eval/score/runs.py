"""Runs as their files leave them: the numbers, and the answers that they are made of."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from affect_mllm.data import manifest
from affect_mllm.eval.metrics.base import counts
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.intervals import none_of
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.eval.score.sample_log import read_log
from affect_mllm.eval.score.scoring import read_answers, truth_hash
from affect_mllm.eval.score.summary import MAJORITY, majority_predictions
from affect_mllm.eval.task import Task
from affect_mllm.types import AffectError, DataError

RESULTS = "results.json"
_NEAR = 1e-5  # results have six digits
_FIX = "name what `affect-mllm score --out FILE --log FILE` or eval.py wrote"


@dataclass(frozen=True)
class Run:
    """One run of one benchmark: `result` is what `score` gives, `files` where its answers lie.

    `variant` is what `eval.py` calls it (a modality set, `untrained` …); None if `score` wrote it.
    """

    name: str
    path: Path
    task: Task
    result: Mapping[str, Any]
    variant: str | None
    files: Mapping[str, Any]

    @cached_property
    def read(self) -> Read:
        """Its answers beside the truth.

        DataError where they are gone or do not make the numbers of `result`.
        """
        if self.variant is None:
            read = self._logged()
        else:
            read = read_variant(self.path.parent, self.files, self.variant)[1]
        self._check(read)
        return read

    @property
    def metrics(self) -> dict[str, Any]:
        """Its numbers, the primary first: a JSON file has them by name."""
        found = self.result["metrics"]
        return {name: found[name] for name in [*self.task.metrics, *found] if name in found}

    @property
    def truth(self) -> str | None:
        """Which samples and labels it is about (`truth_hash`); None where files are gone."""
        if self.result.get("truth_hash"):
            return str(self.result["truth_hash"])
        try:
            return truth_hash(self.read)
        except AffectError:
            return None

    def _logged(self) -> Read:
        log = self.files.get("log")
        if log is None:
            raise DataError(
                str(self.path),
                "names no log",
                expected="a row for each sample beside the numbers",
                fix="score again with --out FILE and --log FILE",
            )
        return read_log(self.path.parent / log, self.task)

    def _check(self, read: Read) -> None:
        if self.result["compat"] != "none":
            return  # its metrics are the publisher's
        for name in self.task.metrics:
            said, made = self.result["metrics"][name]["value"], value_of(name, read)
            if said is None or made is None:
                continue
            if abs(made - said) > _NEAR * max(1.0, abs(said)):
                raise DataError(
                    str(self.path),
                    f"{name} is {said}, its answers make {made:.6f}",
                    expected="numbers and answers of one scoring, by this version of the tables",
                    fix="score the predictions again",
                )


def runs_in(path: Path, name: str, variants: str | None = None) -> list[Run]:
    """The runs of a results folder or file, one for each benchmark; `variants`: see `_evaluated`.

    DataError for what is no result of ours.
    """
    path = Path(path)
    file = path / RESULTS if path.is_dir() else path
    content = _json(file)
    try:
        if isinstance(content.get("runs"), dict):
            return [*_evaluated(file, name, content["runs"], variants)]
        task = Task(**content["task"])
        files = {key: content.get(key) for key in ("log", "manifest", "predictions")}
        return [Run(name, file, task, content, None, files)]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(str(file), f"no result of ours: {error!r}", fix=_FIX) from error


def _evaluated(
    file: Path, name: str, summaries: Mapping[str, Any], variants: str | None
) -> Iterator[Run]:
    """Of each benchmark that `eval.py` asked the reference, the variant of that name, or `all`."""
    for summary in summaries.values():
        task, found = Task(**summary["task"]), summary["variants"]
        wanted = [*found] if variants == "all" else [variants or summary["reference"]]
        for variant in wanted:
            if variant not in found:
                raise DataError(str(file), f"{task.name} has no variant {variant!r}",
                                expected=f"one of {sorted(found)}")  # fmt: skip
            told = name if variant == summary["reference"] else f"{name}: {variant}"
            yield Run(told, file, task, found[variant], variant, summary)


def read_variant(folder: Path, summary: Mapping[str, Any], variant: str) -> tuple[Task, Read]:
    """A variant's answers beside the truth, of the files that a run's `results.json` names.

    DataError where they are gone.
    """
    path = summary.get("predictions", {}).get(variant)
    if not summary.get("manifest") or not (path or variant == MAJORITY):
        raise DataError(
            str(folder / RESULTS),
            "names no manifest or no predictions",
            fix="score it anew with --log, or ask with eval.py",
        )
    samples = manifest.read(folder / summary["manifest"], media=False)
    task = Task(**summary["task"])
    said = majority_predictions(task, samples) if path is None else read_predictions(folder / path)
    return task, read_answers(task, samples, said)


def lineage(path: Path) -> list[dict[str, Any]]:
    """The stages that a results folder's checkpoint went through; [] where it does not say so."""
    return (_json(Path(path) / RESULTS).get("info") or {}).get("lineage") or []


def value_of(name: str, read: Read) -> float | None:
    """A metric's value; None where there is none."""
    rows = read.statistic(METRICS[name].statistic)
    used = counts(rows)
    return none_of(METRICS[name].of(rows[used])) if used.any() else None


def names(paths: Sequence[Path]) -> list[str]:
    """A short name for each path: what tells it from the others."""
    folders = [Path(os.path.abspath(p.parent if p.name == RESULTS else p)) for p in paths]
    if len(set(folders)) < 2:
        return [folder.name for folder in folders]
    common = os.path.commonpath(folders)
    found = [Path(os.path.relpath(folder, common)).as_posix() for folder in folders]
    return [Path(common).name if name == "." else name for name in found]


def found_in(folder: Path) -> list[Path]:
    """The results in a folder and below it; a folder or file that is one stands for itself."""
    folder = Path(folder)
    if folder.is_file() or (folder / RESULTS).is_file():
        return [folder]
    if found := sorted(path.parent for path in folder.rglob(RESULTS)):
        return found
    raise DataError(str(folder), f"no {RESULTS} in it or below", fix=_FIX)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror}", fix=_FIX) from error
    except ValueError as error:
        raise DataError(str(path), f"not JSON: {error}", fix=_FIX) from error
    if not isinstance(content, dict):
        raise DataError(str(path), "no object", fix=_FIX)
    return content
