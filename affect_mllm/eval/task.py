"""A benchmark as data: what is asked, which rows count, how answers are read and scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Annotated, Any, Literal

from pydantic import PositiveInt

from affect_mllm.data import languages
from affect_mllm.eval.metrics.base import Statistic
from affect_mllm.eval.metrics.beside_truth import is_together
from affect_mllm.eval.metrics.judged import NAMES as JUDGED
from affect_mllm.eval.metrics.registry import METRICS, metrics_of
from affect_mllm.eval.official import Official, Toolkit
from affect_mllm.eval.question import filled, names_labels, options_of
from affect_mllm.eval.read.base import Space
from affect_mllm.eval.read.polarity import POLES
from affect_mllm.eval.read.policies import POLICIES
from affect_mllm.eval.truth import (
    CLOSED,
    DEFAULT_POLICIES,
    KINDS_OF_KEY,
    READERS,
    TRUTH_KEYS,
    Kind,
    Value,
)
from affect_mllm.models.decoding import TokenSampling
from affect_mllm.types import ConfigError, DataError, Sample

_SHOWN = 20
LETTERS = tuple("ABCDEFGHIJ")
ALWAYS_BROKEN_DOWN = ("source", "language", "modalities")


@dataclass(frozen=True)
class Task:
    """One benchmark, read from `conf/benchmark/NAME.yaml`.

    `question` is the prompt; `{key}` in it stands for `labels.key` of a row, `{options}` for its
    options with their letters; rows without options are asked the `open_question`, if there is one.
    `truth` is the key of `Sample.labels` with the right answer, `rename` maps its values to the
    task's labels, `where` gives further label values a row must have, or a list of them. `low` and
    `high` are the ends of a scale; `levels` maps the labels of a scale that is answered in words to
    numbers on it; all three belong to a regression. `aliases` maps other names, which an answer may
    use, to labels. `verdicts` gives the lowest and highest score of each thing that a judge rates
    in a description. `neutral` says whether rows of neutral sentiment count, in a task of
    sentiment; `unlabelled` whether rows without a truth are an error. `breakdowns` are label keys
    whose values are reported one by one (source, language and modality set always are), `clusters`
    the row's key by which errors are grouped, `official` and `toolkits` others' scorers.
    `max_new_tokens` and `decoding` (null: greedy) are the protocol's, if it has any. `require`
    names the modalities without which an answer is an error. `ids` are templates of the manifest's
    ids, by which the publisher's and others' files name a row (`prediction_forms.Form`, and
    `{split}`). `status` is provisional where the protocol is not certain; `source` says where it is
    described. `language` (`row`, or one of data/languages.yaml) asks in the row's language or in
    that one where the question is translated, and reads its words for the labels. Left empty,
    `truth`, `extraction` and (where the kind has its own) `labels` are those of the kind. Raises
    ConfigError for what does not fit, keys that mean nothing to the kind (`KINDS_OF_KEY`) included.
    `name` is the file's, `version` changes with anything that changes a number, and `kind` says how
    answers are read and which metrics there are. `split` is the rows' (null: every row), `metrics`
    are those that are computed, the primary one first. `manifest` is asked where the run names
    none; `synthetic` rows are called so beside every number.
    """

    name: str
    version: str
    question: str
    labels: tuple[str, ...] = ()
    kind: Kind = "closed_label"
    split: str | None = "test"
    truth: str = ""
    open_question: str = ""
    where: dict[str, Any] = field(default_factory=dict)
    rename: dict[str, str] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    levels: dict[str, float] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    verdicts: dict[str, tuple[float, float]] = field(default_factory=dict)
    neutral: Literal["keep", "exclude"] = "keep"
    unlabelled: Literal["refuse", "leave_out"] = "refuse"
    extraction: str | None = None
    metrics: tuple[str, ...] = ("accuracy", "uar", "weighted_f1", "macro_f1")
    official: Annotated[Official | None, "in a YAML also a mapping without _target_"] = None
    toolkits: Annotated[dict[Toolkit, Official], "mappings, too"] = field(default_factory=dict)
    max_new_tokens: PositiveInt | None = None
    decoding: Annotated[TokenSampling | None, "in a YAML also a mapping"] = None
    breakdowns: tuple[str, ...] = ()
    clusters: Literal["group", "speaker", "source", "id"] = "group"
    manifest: str | None = None
    synthetic: bool = False
    require: tuple[Literal["face", "audio", "text"], ...] = ()
    ids: tuple[str, ...] = ()
    status: Literal["final", "provisional"] = "final"
    source: str = ""
    language: str | None = None

    def __post_init__(self) -> None:
        languages.check(self.language, f"benchmark {self.name}.language")
        for name in ("labels", "metrics", "require", "breakdowns", "ids"):  # YAML has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_keys()
        bounds = {name: (float(low), float(high)) for name, (low, high) in self.verdicts.items()}
        object.__setattr__(self, "verdicts", bounds)
        if isinstance(self.decoding, dict):
            object.__setattr__(self, "decoding", TokenSampling(**self.decoding))
        if isinstance(self.official, dict):
            object.__setattr__(self, "official", Official(**self.official))
        kits = {k: Official(**v) if isinstance(v, dict) else v for k, v in self.toolkits.items()}
        object.__setattr__(self, "toolkits", kits)
        if self.kind == "sentiment" and not self.labels:
            object.__setattr__(self, "labels", POLES)
        if self.kind == "multiple_choice" and not self.labels:
            object.__setattr__(self, "labels", LETTERS)
        if self.kind == "regression" and not self.labels:
            object.__setattr__(self, "labels", tuple(self.levels))
        if not self.truth:
            object.__setattr__(self, "truth", TRUTH_KEYS[self.kind])
        if self.extraction is None:
            policy = "closed_label_v4" if self.levels else DEFAULT_POLICIES[self.kind]
            object.__setattr__(self, "extraction", policy)
        self._check_answers()
        self._check_policy(self.policy, "extraction")
        self._check_metrics(self.metrics, "metrics")
        for name, scorer in self.scorers.items():
            self._check_metrics(tuple(scorer.metrics.values()), f"{name}.metrics")
            if scorer.extraction is not None:
                self._check_policy(scorer.extraction, f"{name}.extraction")

    @property
    def scorers(self) -> dict[str, Official]:
        """Others' scorers by the name that `compat` has: the publisher's and the toolkits'."""
        return ({} if self.official is None else {"official": self.official}) | dict(self.toolkits)

    @property
    def wording(self) -> str:
        """All that is asked, before rows fill it: what a prompt's hash is made of."""
        written = [*filter(None, (self.question, self.open_question))]
        return "\n".join([*written, *languages.all_of(self.language, written, self.labels)])

    @property
    def every_word(self) -> list[str]:
        """The labels as any row's question may name them."""
        return [*self.labels, *languages.words_of(self.language, self.labels)]

    @property
    def policy(self) -> str:
        """The name of the extraction policy."""
        return self.extraction or DEFAULT_POLICIES[self.kind]

    @property
    def graded(self) -> Statistic | None:
        """By whose values answers are right, where no truth says it alone."""
        if self.kind == "claims":
            return METRICS["grounded"].statistic
        return METRICS[self.metrics[0]].statistic if self.kind == "short_answer" else None

    @property
    def id_templates(self) -> list[str]:
        """Its `ids`, with the split that it asks; without one those that need it are none."""
        split = self.split
        ids = (
            each.replace("{split}", split or "")
            for each in self.ids
            if split or "{split}" not in each
        )
        return [*ids]

    def space(self, sample: Sample) -> Space:
        """What an answer about `sample` may be; nothing of it depends on the truth."""
        language = languages.chosen(self.language, sample.language)
        names = tuple(self.aliases.items())
        if language is not None:
            given = {*self.aliases, *self.labels}
            names += tuple(each for each in language.also(self.labels) if each[0] not in given)
        code = "" if language is None else language.code
        scale, options, asked = (self.low, self.high), options_of(sample), self._asked(sample)
        return Space(self.labels, *scale, options, names, asked, code)

    def asks_alike(self, samples: Sequence[Sample]) -> bool:
        """Whether an answer to each of the samples, of which there are some, may be the same."""
        options = any("options" in sample.labels for sample in samples)
        if self.language is not None and len({self.space(each).aliases for each in samples}) > 1:
            return False
        return bool(samples) and not options and not names_labels(self.question)

    def _asked(self, sample: Sample) -> str:
        """The prompt for one row, as far as the row has what it names."""
        try:
            return self.ask(sample)
        except DataError:
            return self.question

    def ask(self, sample: Sample) -> str:
        """The prompt for one row; DataError if the row lacks what the prompt names."""
        lacks = self.open_question and not options_of(sample)
        written = self.open_question if lacks else self.question
        found = languages.asked(self.language, sample.language, written)
        return filled(written if found is None else found[1], sample, self.name)

    def words(self, sample: Sample) -> tuple[str, ...]:
        """The labels as an answer to the row's question has them, in their order."""
        found = languages.asked(self.language, sample.language, self.question)
        return self.labels if found is None else found[0].labels(self.labels)

    def truth_of(self, sample: Sample) -> Value | None:
        """The right answer of a row as the kind has it; None where it is absent or does not fit."""
        found = READERS[self.kind](sample.labels.get(self.truth), self.labels, self.rename)
        if self.kind == "regression" and found is not None:
            return found if self._scale[0] <= found <= self._scale[1] else None
        if self.kind == "multiple_choice" and found not in self.space(sample).options:
            return None
        return found

    def select(self, samples: Sequence[Sample]) -> list[Sample]:
        """The rows that count, ordered by id, whatever the order of `samples`.

        Raises DataError, naming the rows, where the truth is absent or no answer of the task,
        when no row is left, and when no row has the label of a breakdown.
        """
        chosen = sorted((s for s in samples if self._counts(s)), key=lambda sample: sample.id)
        bad = [f"{s.id}: {s.labels.get(self.truth)!r}" for s in chosen if self.truth_of(s) is None]
        if bad:
            more = [f"… and {len(bad) - _SHOWN} more"] if len(bad) > _SHOWN else []
            raise DataError(
                f"manifest, labels.{self.truth} of {self.name}",
                "; ".join(bad[:_SHOWN] + more),
                expected=self._expected(),
            )
        if not chosen:
            raise DataError(
                f"manifest for {self.name}",
                f"none of {len(samples)} rows counts",
                expected=f"rows with split={self.split!r} and {self.where}",
            )
        known = {key for sample in chosen for key in sample.labels}
        if unknown := sorted(set(self.breakdowns) - known):
            raise DataError(
                f"manifest, breakdowns of {self.name}",
                f"no row has {', '.join(f'labels.{key}' for key in unknown)}",
                expected=f"some of {sorted(known)}",
            )
        return chosen

    @property
    def scale(self) -> tuple[float, float]:
        """The ends of the scale, of `levels` if they make it; (0, 1) for a task without one."""
        return self._scale if self.kind == "regression" else (0.0, 1.0)

    @property
    def _scale(self) -> tuple[float, float]:
        numbers = [*self.levels.values()] or [0.0]
        low = min(numbers) if self.low is None else self.low
        return low, max(numbers) if self.high is None else self.high

    def _counts(self, sample: Sample) -> bool:
        if self.split is not None and sample.split != self.split:
            return False
        if self.unlabelled == "leave_out" and self.truth not in sample.labels:
            return False
        if self.neutral == "exclude" and self.truth_of(sample) == "neutral":
            return False
        return all(
            sample.labels.get(key) in (value if isinstance(value, list) else [value])
            for key, value in self.where.items()
        )

    def _expected(self) -> str:
        if self.kind == "regression":
            return f"a number from {self.scale[0]:g} to {self.scale[1]:g}"
        if self.kind == "distribution":
            return f"numbers of at least 0, not all 0, by labels among {list(self.labels)}"
        if self.kind == "multiple_choice":
            return "the letter of one of labels.options"
        if self.kind == "short_answer":
            return "a text or a list of texts"
        if self.kind in ("open_vocabulary", "description"):
            return "labels" if self.kind == "open_vocabulary" else "a text"
        return f"one of {list(self.labels)}"

    def _check_keys(self) -> None:
        """No key that the kind does not know: it would be thought to have an effect."""
        foreign = [
            entry.name
            for entry in fields(self)
            if self.kind not in KINDS_OF_KEY.get(entry.name, (self.kind,))
            and getattr(self, entry.name) != _default(entry)
        ]
        if foreign:
            raise ConfigError(
                f"benchmark {self.name}",
                f"{', '.join(foreign)}, which a task of kind {self.kind} does not have",
                expected="; ".join(f"{key} in {' or '.join(KINDS_OF_KEY[key])}" for key in foreign),
                fix="leave it out, or write the kind that has it",
            )
        parts = self.breakdowns
        if wrong := [key for key in parts if key in ALWAYS_BROKEN_DOWN or parts.count(key) > 1]:
            raise ConfigError(
                f"benchmark {self.name}.breakdowns",
                f"{sorted(set(wrong))}",
                expected=f"keys of labels, each once; {', '.join(ALWAYS_BROKEN_DOWN)} always are",
            )

    def _check_answers(self) -> None:
        """Labels, levels and the ends of the scale."""
        folded = {label.casefold() for label in self.labels}
        fault = expected = ""
        if len(folded) < len(self.labels) or (self.kind in CLOSED and not self.labels):
            fault, expected = f"{list(self.labels)}", "at least one label, none of them twice"
        elif self.kind == "statement_judgment" and len(self.labels) != 2:
            fault, expected = f"{list(self.labels)}", "two labels, that of a true statement first"
        elif self.kind == "pairwise_preference" and len(self.labels) not in (2, 3):
            fault, expected = f"{list(self.labels)}", "first, second and perhaps a tie"
        elif self.kind == "multiple_choice" and not all(len(label) == 1 for label in self.labels):
            fault, expected = f"{list(self.labels)}", "letters"
        elif unknown := {*self.aliases.values()} - {*self.labels}:
            fault, expected = f"aliases of {sorted(unknown)}", f"of some of {list(self.labels)}"
        elif self.kind == "sentiment" and self.labels != POLES:
            fault, expected = f"{list(self.labels)}", f"{list(POLES)}, or no labels"
        elif self.kind == "regression" and self.labels != tuple(self.levels):
            fault, expected = f"{list(self.labels)}", "none, or the names of levels"
        if fault:
            raise ConfigError(f"benchmark {self.name}.labels", fault, expected=expected)
        if any(name in JUDGED for name in self.metrics) != bool(self.verdicts):
            raise ConfigError(
                f"benchmark {self.name}.verdicts",
                f"{self.verdicts}",
                expected="{score: [lowest, highest]} where metrics are a judge's, and nowhere else",
            )
        if self.kind == "regression" and not self._scale[0] < self._scale[1]:
            got = f"low {self.low}, high {self.high}, levels {self.levels}"
            raise ConfigError(f"benchmark {self.name}", got, expected="low < high, or levels")

    def _check_policy(self, policy: str, key: str) -> None:
        wanted = POLICIES[DEFAULT_POLICIES[self.kind]].gives
        gives = "label" if self.levels else wanted
        several = "labels" if gives == "label" and key != "extraction" else gives
        fitting = sorted(
            name
            for name, each in POLICIES.items()
            if each.gives in (gives, several)
            and all(each.joined_by in label for label in self.labels)
        )
        if policy not in fitting:
            raise ConfigError(
                f"benchmark {self.name}.{key}", repr(policy), expected=f"one of {fitting}"
            )

    def _check_metrics(self, names: Sequence[str], key: str) -> None:
        fitting = metrics_of(self.kind)
        unknown = [name for name in names if name not in fitting or name not in METRICS]
        if unknown or not names:
            raise ConfigError(
                f"benchmark {self.name}.{key}",
                f"{unknown or 'none'}",
                expected=f"some of {fitting} for the kind {self.kind}",
            )
        together = [name for name in names if is_together(METRICS[name].statistic)]
        if together and self.clusters != "group":
            got = f"{self.clusters}, with {', '.join(together)}, which counts whole groups"
            raise ConfigError(f"benchmark {self.name}.clusters", got, expected="group")


def _default(entry: Field[Any]) -> Any:
    return entry.default if entry.default_factory is MISSING else entry.default_factory()
