"""A benchmark that takes its question, labels and scale from the manifest it is asked of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import NonNegativeInt

from affect_mllm import config
from affect_mllm.data import label_file
from affect_mllm.data import manifest as manifests
from affect_mllm.data.label_questions import question
from affect_mllm.data.label_space import Kind as LabelKind
from affect_mllm.data.label_space import Label
from affect_mllm.eval.official import Official
from affect_mllm.eval.read.base import Space
from affect_mllm.eval.read.policies import extract
from affect_mllm.eval.read.vocabulary import one_sense
from affect_mllm.eval.task import Task
from affect_mllm.eval.truth import DEFAULT_POLICIES, Kind
from affect_mllm.types import ConfigError

_KINDS: dict[LabelKind, Kind] = {
    "classes": "closed_label",
    "list": "multi_label",
    "number": "regression",
    "text": "description",
}
_OPEN = ("open_vocabulary", "description")  # kinds whose answers are no labels of a list
_METRICS: dict[Kind, tuple[str, ...]] = {
    "closed_label": ("accuracy", "uar", "weighted_f1", "macro_f1"),
    "multi_label": ("set_sample_f1", "set_micro_f1", "set_macro_f1", "set_accuracy"),
    "open_vocabulary": ("hit_rate", "ew_precision"),
    "regression": ("mae", "pearson", "ccc"),
    "description": ("rouge_l", "bleu"),
}


@dataclass(frozen=True)
class OwnLabels:
    """`conf/benchmark/own_clips.yaml`: a task for one label of a manifest, made by `of`.

    `truth` is the label; None: the emotion, or the first label that is no text. `labels`,
    `question` and `metrics` take the place of the label's own if given. The task of another label
    than that first one is called `NAME_LABEL`. Rows without the label do not count. `candidates`
    names the lists of classes that a publisher's rows choose from, which are then the labels.
    `{classes}` in a question stands for the labels. With `levels` a number is one of so many,
    evenly spread over its scale, whose likelihoods may be compared: their mean is the answer.
    `name`, `version`, `split`, `breakdowns`, `clusters`, `manifest`, `official`, `status`,
    `source` and `language` are those of the task that is made (`eval.task.Task`).
    """

    name: str
    truth: str | None = None
    version: str = "2"
    labels: tuple[str, ...] = ()
    question: str | None = None
    split: str | None = "test"
    metrics: tuple[str, ...] = ()
    breakdowns: tuple[str, ...] = ()
    clusters: Literal["group", "speaker", "source", "id"] = "group"
    manifest: str | None = None
    candidates: str | None = None
    official: Annotated[Official | None, "in a YAML also a mapping without _target_"] = None
    status: Literal["final", "provisional"] = "final"
    source: str = ""
    language: str | None = None
    levels: NonNegativeInt = 0

    def of(self, manifest: Path) -> Task:
        """The task for this manifest. Raises ConfigError where it lacks the label."""
        if self.candidates is not None:
            return replace(self, labels=self._listed(manifest), candidates=None).of(manifest)
        found = label_file.read(manifest)
        order = sorted(found, key=lambda key: (key != "emotion", found[key].kind == "text"))
        key = self.truth or order[0]
        if key not in found:
            raise ConfigError(
                f"benchmark {self.name}.truth",
                f"{key}, which {manifest} does not have",
                expected=f"one of {list(found)}",
                fix="set benchmark.truth=LABEL",
            )
        return self._task(key, found[key], self.name if key == order[0] else f"{self.name}_{key}")

    def _listed(self, manifest: Path) -> tuple[str, ...]:
        """The classes that the rows list, in their order."""
        rows = manifests.read(manifest, media=False)
        lists = [sample.labels.get(str(self.candidates)) for sample in rows]
        found = [each for names in lists if isinstance(names, list) for each in names]
        if not found:
            raise ConfigError(
                f"benchmark {self.name}.candidates",
                f"no row of {manifest} has {self.candidates}",
                fix="name the label that has the lists of classes",
            )
        return tuple(dict.fromkeys(map(str, found)))

    def _task(self, key: str, label: Label, name: str) -> Task:
        asked = config.build(question(key, label), kind=object)
        kind = _KINDS[label.kind]
        if kind == "multi_label" and not asked.allowed:  # more words than a question can list
            kind = "open_vocabulary"
        more: dict[str, Any] = {}
        if kind == "regression":
            more = {"low": label.low, "high": label.high, "levels": self._levels(key, label)}
        elif kind not in _OPEN:
            more = {"labels": self.labels or label.classes}
        if self.labels and kind not in _OPEN:
            asked = config.build({**question(key, label), "allowed": list(self.labels)})
        words = self.question or asked.plain_question()
        return Task(
            name=name,
            version=self.version,
            kind=kind,
            question=words.replace("{classes}", ", ".join(more.get("labels", ()))),
            split=self.split,
            truth=key,
            unlabelled="leave_out",
            metrics=self.metrics or _METRICS[kind],
            breakdowns=self.breakdowns,
            clusters=self.clusters,
            official=self.official,
            status=self.status,
            source=self.source,
            language=self.language,
            **more,
        )

    def _levels(self, key: str, label: Label) -> dict[str, float]:
        """The numbers of a scale as training writes them."""
        if not self.levels:
            return {}
        if self.levels < 2:
            raise ConfigError(f"benchmark {self.name}.levels", "1", expected="0, or two and more")
        low, high = label.scale
        step = (high - low) / (self.levels - 1)
        form = next(iter(Formatter().parse(question(key, label)["answer"])))[2]
        written = [format(low + at * step, form or "") for at in range(self.levels)]
        made = {each: min(max(float(each), low), high) for each in written}
        if len(made) < self.levels:
            raise ConfigError(
                f"benchmark {self.name}.levels",
                f"{self.levels} between {low:g} and {high:g}, of which some are written alike",
                expected=f"{len(made)} at most: {key} is written as {', '.join([*made][:3])}, …",
            )
        return made


def misread(labels: Sequence[str], kind: LabelKind = "classes") -> Iterator[str]:
    """A sentence for each class that the reading engine would not read as what it says.

    Each is read alone and in a sentence, beside all the others as the task's labels.
    """
    space, policy = Space(tuple(labels)), DEFAULT_POLICIES[_KINDS[kind]]
    for label in labels:
        expected = (label,) if kind == "list" else label
        for answer in (label, f"The person is {label}."):
            found = extract(answer, space, policy)
            if found.value != expected:
                got = found.status if found.value is None else f"as {found.value!r}"
                yield f"the answer {answer!r} is read {got}: give {label!r} another name"
                break
        if "," in label or ";" in label:
            yield f"{label!r} has a comma, by which a question separates labels"
    for members in one_sense(labels):
        yield (
            f"{' and '.join(map(repr, members))} are of one sense: an answer in another word of it "
            "is read as none of them; if they mean one class, give them one name"
        )
