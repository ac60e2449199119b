"""An evaluation run: one model, one benchmark, as many views of its clips as asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from affect_mllm import lock
from affect_mllm.data import manifest
from affect_mllm.data.reader import Reader
from affect_mllm.eval.again import Files, asked_again, predictions
from affect_mllm.eval.files import rounded
from affect_mllm.eval.generate import calibrated
from affect_mllm.eval.generate.asked import Asked, Asking
from affect_mllm.eval.generate.asking import Asker
from affect_mllm.eval.generate.checkpoint import UNTRAINED, Checkpoint, pair
from affect_mllm.eval.generate.other import OtherModel
from affect_mllm.eval.generate.prediction_file import predict_file, refuse_faults, watched
from affect_mllm.eval.generate.question import WHOLE, Answers, Choose, Question
from affect_mllm.eval.generate.requirements import (
    check_classes,
    check_closed,
    check_drawn,
    check_other,
    check_required,
)
from affect_mllm.eval.generate.usage import (
    read_prices,
    timed,
    times_of,
    usage_of,
)
from affect_mllm.eval.generate.views import View, donors, parse_subsets, parse_swaps
from affect_mllm.eval.generate.ways import Way, main_way, ways
from affect_mllm.eval.lines import say
from affect_mllm.eval.outcome import ceilings, publishers, whom_followed
from affect_mllm.eval.own_labels import OwnLabels
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.eval.probe.beside import PROBE, PROBED, beside
from affect_mllm.eval.ranks import ranks
from affect_mllm.eval.score.summary import read_runs, summarise, write_results
from affect_mllm.eval.task import Task
from affect_mllm.log import LOGGER, working
from affect_mllm.models.decoding import GREEDY, TokenSampling
from affect_mllm.types import ConfigError, ExitCode, Sample


@dataclass
class EvalRun:
    """The root of `conf/eval.yaml`.

    `model` is what is asked (`conf/ask`): a `checkpoint` of ours, or another model, which is shown
    clips by `reader` and told `system`, or as the checkpoint beside it, else whole frames and
    nothing. `subsets`: what the model may see, such as `[face+audio+text, text]`, or `[all]` for
    every single modality, pair and triple. `swaps`: modalities that are taken from another clip of
    another class, one at a time, to see which one the model follows. `untrained` asks the
    checkpoint before any training too, `baseline` a second model about the same rows. The first
    subset and the baseline are also asked in each of the `variants` of the question (name → words,
    `{plain}` being the benchmark's own), and `repeats` times with answers drawn by `sampling`.
    `decoding=sampled` draws the answers that count by `sampling`, `greedy` takes the likeliest
    tokens, null is the benchmark's own way (greedy unless it says). `answer_by=likelihood`
    compares the labels of a closed task instead of generating; `head` asks the linear head on media
    tokens that the checkpoint was trained with (`MediaLabels`), and no LLM. With
    `calibrate=val` scores of the first subset's answers are calibrated on that split, never on the
    one that is tested (`generate/calibrated.py`), and stand beside them as they were. Without
    `max_new_tokens` an answer is as long as the benchmark says or its kind needs
    (`asked.LENGTHS`). `workers` processes read
    clips ahead of the answers. Where a publisher has a scorer, its scores stand beside ours, if it
    needs them by `wheel_tables`. `prices` is a YAML of what a million tokens cost,
    `max_bad_fraction` the share of rows that may lack an answer (null: as in the checkpoint's
    training; half of those of a server, which are asked for again when the run is taken up again).
    Predictions land in RUN_DIR/eval/BENCHMARK, scores of all benchmarks in RUN_DIR/results.json.
    Started by torchrun or accelerate, the processes share the rows.
    `benchmark` is asked about the rows of `manifest` (null: those that the benchmark or the
    checkpoint names), `batch_size` of them at a time. `run_dir` has everything that is written;
    encoder states are kept in `cache_dir` (null: nowhere). `plugins` are packages whose classes a
    YAML may name.
    """

    benchmark: Task | OwnLabels
    run_dir: str
    model: Checkpoint | OtherModel
    checkpoint: str | None = None
    manifest: str | None = None
    cache_dir: str | None = None
    wheel_tables: str | None = None
    subsets: list[str] = field(default_factory=lambda: ["face+audio+text"])
    swaps: list[str] = field(default_factory=list)
    untrained: bool = False
    baseline: Checkpoint | OtherModel | None = None
    reader: Reader | None = None
    system: str | None = None
    variants: dict[str, str] = field(default_factory=dict)
    repeats: NonNegativeInt = 0
    sampling: TokenSampling = field(default_factory=TokenSampling)
    decoding: Literal["greedy", "sampled"] | None = None
    answer_by: Literal["generation", "likelihood", "head"] = "generation"
    calibrate: str | None = None
    batch_size: PositiveInt = 32
    workers: NonNegativeInt = 2
    max_new_tokens: PositiveInt | None = None
    max_bad_fraction: float | None = None
    prices: str | None = None
    plugins: list[str] = field(default_factory=list)

    def run(self) -> ExitCode:
        """Generate, score, write; prints where.

        Other benchmarks may be asked in the same folder meanwhile, the same one may not.
        """
        if self.untrained and self.answer_by == "head":
            raise ConfigError(
                "untrained",
                "true with answer_by=head",
                expected="false: an untrained model has no head that could answer",
            )
        check_drawn(self.answer_by, repeats=self.repeats, decoding=self.decoding)
        self._ranks = ranks()
        self._model, self._second = pair(
            self.model,
            self.baseline,
            folder=self.checkpoint,
            cache_dir=self.cache_dir,
            plugins=self.plugins,
            reader=self.reader,
            system=self.system,
        )
        if not isinstance(self.model, Checkpoint):
            check_other(
                swaps=self.swaps,
                untrained=self.untrained,
                answer_by=self.answer_by != "generation",
                cache_dir=self.cache_dir,
            )
        self._prices = {} if self.prices is None else read_prices(Path(self.prices))
        for each in filter(None, (self._model, self._second)):
            each.price(self._prices)
        self._path = self._manifest()
        given = self.benchmark
        self._task = given.of(self._path) if isinstance(given, OwnLabels) else given
        mine = lock.held(self._folder, key="run_dir")
        with mine if self._ranks.is_main else contextlib.nullcontext():
            return self._run()

    @property
    def _folder(self) -> Path:
        return Path(self.run_dir) / "eval" / self._task.name

    def _run(self) -> ExitCode:
        self._others()  # before anything slow
        rows, path = manifest.read(self._path), self._path
        chosen = self._task.select(rows)
        check_required(self._task, chosen)
        check_closed(self._task, self.answer_by)
        calibrated.check(self._task, self.calibrate, self.answer_by)
        drawn = main_way(self._task, self.decoding, self.sampling)
        self._drawn = drawn if self.answer_by == "generation" else None
        self._ways = ways(self._task, self.variants, self.repeats, self.sampling)
        subsets, swaps = parse_subsets(self.subsets), parse_swaps(self.swaps)
        views = [*subsets, *swaps]
        for view in subsets:
            self._model.check(view)
        if self._second is not None:
            self._second.check(subsets[0])
        check_classes(self._task, self.swaps)
        truth_of = self._task.truth_of
        self._donors = {v.swap: donors(chosen, v.swap, truth_of) for v in swaps if v.swap}
        held = self._held(rows)
        asker = self._asker(self._model, [*chosen, *held])
        files = {view.name: self._predict(asker, chosen, view, view.name) for view in views}
        first = subsets[0].name
        again = {first: (files[first], self._again(asker, chosen, subsets[0], first))}
        probe = self._probe(asker, rows, subsets[0])
        probe |= self._calibrated(asker, held, subsets[0], files[first])
        del asker  # one model at a time
        if isinstance(self._model, Checkpoint) and self.untrained:
            before = self._asker(replace(self._model, trained=False), chosen)
            files[UNTRAINED] = self._predict(before, chosen, WHOLE, UNTRAINED)
            del before
        if self._second is not None:
            name = f"baseline-{self._second.name}"
            other = self._asker(self._second, chosen)
            files[name] = self._predict(other, chosen, subsets[0], name)
            again[name] = files[name], self._again(other, chosen, subsets[0], name)
        if self._ranks.is_main:
            self._summarise(rows, path, files, again, probe)
        self._ranks.meet()
        return ExitCode.DONE

    def _manifest(self) -> Path:
        path = self.manifest or self.benchmark.manifest or self._model.manifest
        if path is None:
            raise ConfigError("manifest", "none", fix="give manifest=FILE")
        return Path(path)

    def _asker(self, model: Asked, samples: Sequence[Sample]) -> Answers:
        asking = Asking(
            self._task,
            manifest.digest(self._path),
            self._ranks,
            batch_size=self.batch_size,
            workers=self.workers,
            max_new_tokens=self.max_new_tokens,
            donors=self._donors,
            labels=() if self.answer_by == "generation" else self._task.labels,
            by_head=self.answer_by == "head",
            folder=self._folder,
            prices=self._prices,
        )
        return model.asker(asking, samples).drawing(self._drawn)

    def _again(
        self, asker: Answers, samples: Sequence[Sample], view: View, variant: str
    ) -> list[Path]:
        """The predictions of each other way of asking, in their order."""
        return [
            self._predict(asker.drawing(way.repeat or self._drawn), samples, view, variant, way)
            for way in self._ways
        ]

    def _probe(self, asker: Answers, rows: Sequence[Sample], view: View) -> dict[str, Path]:
        """A linear probe's answers, beside those of a checkpoint that was trained on these rows."""
        given, model, task = self.benchmark, self._model, self._task
        if not isinstance(asker, Asker) or not self._ranks.is_main or task.kind not in PROBED:
            return {}
        own = isinstance(given, OwnLabels) and given.candidates is None
        if not own or Path(model.manifest or "").resolve() != self._path.resolve():
            return {}
        path = self._folder / f"{PROBE}.predictions.jsonl"
        made = beside(
            path,
            asker.features,
            rows,
            task.truth,
            split=task.split,
            shows=view.shows,
            levels=task.levels,
        )
        return {} if made is None else {PROBE: made}

    def _held(self, rows: Sequence[Sample]) -> list[Sample]:
        """The rows that scores are calibrated on."""
        if self.calibrate is None:
            return []
        return replace(self._task, split=self.calibrate).select(rows)

    def _calibrated(
        self, asker: Answers, held: Sequence[Sample], view: View, answers: Path
    ) -> dict[str, Path]:
        """The answers of a view with scores that are calibrated on other rows."""
        if self.calibrate is None:
            return {}
        known = self._predict(asker, held, view, f"{view.name}.of-{self.calibrate}")
        found = calibrated.calibrated(self._task, held, known, self.calibrate)
        if found is None:
            LOGGER.info("not calibrated: no answer to %s has scores", self.calibrate)
            return {}
        name = f"{view.name}{calibrated.ENDING}"
        out = self._folder / f"{name}.predictions.jsonl"
        if self._ranks.is_main:
            calibrated.write(found, answers, out)
        LOGGER.info("calibrated on %d rows of %s, T %.2f: %s", found.rows, found.split,
                    found.temperature, out)  # fmt: skip
        return {name: out}

    def _who(self, variant: str) -> Asked:
        """Whose answers a variant holds."""
        second = self._second
        beside = second is not None and variant.startswith(f"baseline-{second.name}")
        return second if beside and second is not None else self._model

    def _limit(self, variant: str) -> float:
        """The share of rows that may lack an answer."""
        own = self.max_bad_fraction
        return self._who(variant).max_bad_fraction if own is None else own

    def _predict(
        self,
        asker: Answers,
        samples: Sequence[Sample],
        view: View,
        variant: str,
        way: Way | None = None,
    ) -> Path:
        """The variant's predictions file, complete; asked in another `way` if given."""
        task = self._task if way is None else way.task
        question = Question(task.wording, task.ask, task.words)
        more = {} if way is None else way.stamp
        limit = self._limit(variant)
        variant += "" if way is None else f".{way.file}"
        path = self._folder / f"{variant}.predictions.jsonl"

        def ask(choose: Choose) -> Iterator[Mapping[str, Any]]:
            rows = ({**row, **more} for row in asker.answer(samples, question, view, choose))
            told = timed(rows, times_of(path), processes=self._ranks.world)
            return watched(path, told, total=len(samples), limit=limit)

        fresh = predict_file(
            path,
            samples,
            ask,
            stamp=asker.stamp(question) | ({"swap": view.swap} if view.swap else {}) | more,
            ranks=self._ranks,
        )
        refuse_faults(path, samples, limit)
        said = f"{len(samples)} answers" if fresh else "re-used"
        LOGGER.info("%s, %s: %s (%s)", self._task.name, variant, said, path)
        return path

    def _summarise(
        self,
        rows: Sequence[Sample],
        path: Path,
        files: dict[str, Path],
        again: Mapping[str, Files],
        probe: Mapping[str, Path],
    ) -> None:
        if self._task.verdicts:
            LOGGER.info(
                "%s is judged: `affect-mllm judge` each predictions file, then `affect-mllm score "
                "--verdicts FILE`",
                self._task.name,
            )
            return
        runs = {name: read_predictions(file) for name, file in {**files, **probe}.items()}
        reference = next(iter(files))
        with working("scoring"):
            summary = summarise(
                self._task,
                rows,
                runs,
                ceilings=ceilings(path, self._task.split),
                reference=reference,
            )
        every = files | predictions(self._ways, again)
        kept = {name: str(file) for name, file in {**every, **probe}.items()}
        summary |= {"manifest": str(path), "predictions": kept}
        summary["decoding"] = str(self._drawn or GREEDY)
        summary["usage"] = {
            name: usage_of(file, times_of(file), self._who(name).price(self._prices))
            for name, file in every.items()
        }
        summary |= rounded(asked_again(self._task, rows, self._ways, again))
        summary["followed"] = whom_followed(self._task, rows, self._donors, files)
        summary["official"] = publishers(self._task, rows, runs[reference], self.wheel_tables)
        beside = None if self._second is None else self._second.info()
        info = self._model.info() | {"baseline": beside}
        say(summary)
        with lock.turn(Path(self.run_dir)):  # of benchmarks asked side by side
            ordered = sorted({**self._others(), self._task.name: summary}.items())
            LOGGER.info("scores: %s", write_results(Path(self.run_dir), dict(ordered), info=info))

    def _others(self) -> dict[str, dict[str, Any]]:
        """Scores of other benchmarks in the run directory. One model makes a table."""
        found = read_runs(Path(self.run_dir))
        found.pop(self._task.name, None)
        mine = self._model.name
        for name, summary in found.items():
            theirs = summary["variants"][summary["reference"]]["checkpoint"]
            if theirs != mine:
                raise ConfigError(
                    "run_dir",
                    f"{self.run_dir} has scores of {name} by {theirs}",
                    expected=f"{mine}, or a folder without scores",
                    fix="choose another run_dir",
                )
        return found
