"""An evaluation run: one checkpoint, one benchmark, as many views of its clips as asked for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from affect_mllm import lock
from affect_mllm.data import manifest
from affect_mllm.data.features import ensure
from affect_mllm.data.settings import DataSettings
from affect_mllm.eval.again import Files, asked_again, predictions
from affect_mllm.eval.emotion_wheel.published import read_tables
from affect_mllm.eval.files import rounded
from affect_mllm.eval.generate.asking import Asker
from affect_mllm.eval.generate.other import OtherAsker, OtherModel
from affect_mllm.eval.generate.prediction_file import predict_file, refuse_faults
from affect_mllm.eval.generate.question import WHOLE, Answers, Choose, Question
from affect_mllm.eval.generate.requirements import (
    check_classes,
    check_closed,
    check_repeats,
    check_required,
)
from affect_mllm.eval.generate.views import View, donors, followed, parse_subsets, parse_swaps
from affect_mllm.eval.generate.ways import Way, ways
from affect_mllm.eval.lines import say
from affect_mllm.eval.own_labels import OwnLabels
from affect_mllm.eval.predictions import Prediction, read_predictions
from affect_mllm.eval.ranks import ranks
from affect_mllm.eval.score.breakdowns import groups_of
from affect_mllm.eval.score.scoring import read_answers, score
from affect_mllm.eval.score.summary import read_runs, summarise, write_results
from affect_mllm.eval.task import Task
from affect_mllm.log import LOGGER
from affect_mllm.models import checkpoint
from affect_mllm.models.decoding import TokenSampling, token_bound
from affect_mllm.types import ConfigError, ExitCode, Sample

UNTRAINED = "untrained"
# New tokens at most, by what is answered: a label, a list, a description.
LENGTHS = {"open_vocabulary": 48, "multi_label": 48, "distribution": 64, "short_answer": 32,
           "description": 256}  # fmt: skip


@dataclass
class EvalRun:
    """The root of `conf/eval.yaml`.

    `subsets`: what the model may see, such as `[face+audio+text, text]`, or `[all]` for every
    single modality, pair and triple. `swaps`: modalities that are taken from another clip of
    another class, one at a time, to see which one the model follows. `untrained` asks the model
    before any training too, `baseline` another VLM about the same pictures and words. The first
    subset and the baseline are also asked in each of the `variants` of the question (name → words,
    `{plain}` being the benchmark's own), and `repeats` times with answers drawn by `sampling`.
    `answer_by=likelihood` compares the labels of a closed task instead of generating. Without
    `max_new_tokens` an answer is as long as its kind needs (12 tokens for a label, more where one
    has more bytes). `workers` processes read clips ahead of the answers. Where a
    publisher has a scorer, its scores stand beside ours, if it needs them by `wheel_tables`.
    Predictions land in RUN_DIR/eval/BENCHMARK, scores of all benchmarks in RUN_DIR/results.json.
    Started by torchrun or accelerate, the processes share the rows.
    """

    checkpoint: str
    benchmark: Task | OwnLabels
    run_dir: str
    manifest: str | None = None
    cache_dir: str | None = None
    wheel_tables: str | None = None
    subsets: list[str] = field(default_factory=lambda: ["face+audio+text"])
    swaps: list[str] = field(default_factory=list)
    untrained: bool = False
    baseline: OtherModel | None = None
    variants: dict[str, str] = field(default_factory=dict)
    repeats: NonNegativeInt = 0
    sampling: TokenSampling = field(default_factory=TokenSampling)
    answer_by: Literal["generation", "likelihood"] = "generation"
    batch_size: PositiveInt = 32
    workers: NonNegativeInt = 2
    max_new_tokens: PositiveInt | None = None
    plugins: list[str] = field(default_factory=list)

    def run(self) -> ExitCode:
        """Generate, score, write; prints where.

        Other benchmarks may be asked in the same folder meanwhile, the same one may not.
        """
        self._ranks = ranks()
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
        check_repeats(self.repeats, self.answer_by)
        self._ways = ways(self._task, self.variants, self.repeats, self.sampling)
        subsets, swaps = parse_subsets(self.subsets), parse_swaps(self.swaps)
        views = [*subsets, *swaps]
        check_classes(self._task, self.swaps)
        truth_of = self._task.truth_of
        self._donors = {v.swap: donors(chosen, v.swap, truth_of) for v in swaps if v.swap}
        asker = self._asker(chosen, path, trained=True)
        files = {view.name: self._predict(asker, chosen, view, view.name) for view in views}
        first = subsets[0].name
        again = {first: (files[first], self._again(asker, chosen, subsets[0], first))}
        del asker  # one model at a time
        if self.untrained:
            before = self._asker(chosen, path, trained=False)
            files[UNTRAINED] = self._predict(before, chosen, WHOLE, UNTRAINED)
            del before
        if self.baseline is not None:
            name = f"baseline-{self.baseline.name}"
            other = self._baseline(path)
            files[name] = self._predict(other, chosen, subsets[0], name)
            again[name] = files[name], self._again(other, chosen, subsets[0], name)
        if self._ranks.is_main:
            self._summarise(rows, path, files, again)
        self._ranks.meet()
        return ExitCode.DONE

    def _manifest(self) -> Path:
        cfg = checkpoint.load_config(Path(self.checkpoint))
        path = self.manifest or self.benchmark.manifest or cfg.data.get("manifest")
        if path is None:
            raise ConfigError("manifest", "none", fix="give manifest=FILE")
        return Path(path)

    def _data(self) -> DataSettings:
        """The checkpoint's way of reading: questions, prompt, frames, faces."""
        own = {} if self.cache_dir is None else {"cache_dir": self.cache_dir}
        return checkpoint.load_part(
            Path(self.checkpoint), "data", DataSettings, plugins=self.plugins, **own
        )

    def _asker(self, samples: Sequence[Sample], path: Path, *, trained: bool) -> Asker:
        folder, data = Path(self.checkpoint), self._data()
        model = checkpoint.load_model(folder, plugins=self.plugins, trained=trained)
        model.to(self._ranks.device)
        features = data.features(model.transforms(), model.fingerprint, limits=model.limits())
        cached = data.cache_dir is not None
        model.clip_encoder().hold(bf16=model.fast_encoders if cached else model.llm.is_bf16)
        ensure(
            features,
            self._ranks.share(samples),
            model.encode_clip,
            max_bad_fraction=data.max_bad_fraction,
            gather=self._ranks.gather,
        )
        maker = data.maker(model.llm.tokenizer, model.span_lengths())
        name = checkpoint.checkpoint_hash(folder) + ("" if trained else f"-{UNTRAINED}")
        return Asker(
            model,
            maker,
            features,
            name,
            batch_size=self.batch_size,
            max_new_tokens=self._length,
            data=manifest.digest(path),
            donors=self._donors,
            labels=self._task.labels if self.answer_by == "likelihood" else (),
            workers=self.workers,
        )

    def _baseline(self, path: Path) -> OtherAsker:
        """The other VLM with the reader and the system message of the checkpoint."""
        assert self.baseline is not None
        data = self._data()
        return OtherAsker(
            self.baseline,
            data.reader,
            data.prompt.system,
            self._length,
            data=manifest.digest(path),
        )

    @property
    def _length(self) -> int:
        longest = max((token_bound(label) for label in self._task.labels), default=0)
        return self.max_new_tokens or LENGTHS.get(self._task.kind, max(12, longest))

    def _again(
        self, asker: Asker | OtherAsker, samples: Sequence[Sample], view: View, variant: str
    ) -> list[Path]:
        """The predictions of each other way of asking, in their order."""
        return [
            self._predict(replace(asker, repeat=way.repeat), samples, view, variant, way)
            for way in self._ways
        ]

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
        question, more = Question(task.wording, task.ask), {} if way is None else way.stamp
        variant += "" if way is None else f".{way.file}"
        path = self._folder / f"{variant}.predictions.jsonl"

        def ask(choose: Choose) -> Iterator[dict[str, Any]]:
            return ({**row, **more} for row in asker.answer(samples, question, view, choose))

        fresh = predict_file(
            path,
            samples,
            ask,
            stamp=asker.stamp(question) | ({"swap": view.swap} if view.swap else {}) | more,
            ranks=self._ranks,
        )
        refuse_faults(path, samples, self._data().max_bad_fraction)
        said = f"{len(samples)} answers" if fresh else "re-used"
        LOGGER.info("%s, %s: %s (%s)", self._task.name, variant, said, path)
        return path

    def _summarise(
        self,
        rows: Sequence[Sample],
        path: Path,
        files: dict[str, Path],
        again: Mapping[str, Files],
    ) -> None:
        if self._task.verdicts:
            LOGGER.info(
                "%s is judged: `affect-mllm judge` each predictions file, then `affect-mllm score "
                "--verdicts FILE`",
                self._task.name,
            )
            return
        runs = {name: read_predictions(file) for name, file in files.items()}
        reference = next(iter(files))
        summary = summarise(
            self._task, rows, runs, ceilings=self._ceilings(path), reference=reference
        )
        every = files | predictions(self._ways, again)
        summary |= {"manifest": str(path), "predictions": {n: str(f) for n, f in every.items()}}
        summary |= rounded(asked_again(self._task, rows, self._ways, again))
        summary["followed"] = self._followed(rows, files)
        summary["official"] = self._official(rows, runs[reference])
        meta = checkpoint.read_meta(Path(self.checkpoint))
        info: dict[str, Any] = {
            "seed": meta["seed"],
            "checkpoint": self.checkpoint,
            "lineage": meta["lineage"],
            "packages": meta["packages"],
            "git": meta["git"],
            "baseline": None if self.baseline is None else self.baseline.identity(),
        }
        say(summary)
        with lock.turn(Path(self.run_dir)):  # of benchmarks asked side by side
            ordered = sorted({**self._others(), self._task.name: summary}.items())
            LOGGER.info("scores: %s", write_results(Path(self.run_dir), dict(ordered), info=info))

    def _followed(
        self, rows: Sequence[Sample], files: Mapping[str, Path]
    ) -> dict[str, dict[str, Any]]:
        """For each swapped modality: how often the answer names its class, its own, or neither."""
        found = {}
        for modality, given in self._donors.items():
            predictions = read_predictions(files[View(swap=modality).name])
            read = read_answers(self._task, rows, predictions)
            ids = [sample.id for sample in read.samples]
            answers = dict(zip(ids, read.answers, strict=True))
            own = dict(zip(ids, read.truth, strict=True))
            theirs = {row: self._task.truth_of(sample) for row, sample in given.items()}
            groups = dict(zip(ids, groups_of(self._task, read), strict=True))
            found[modality] = followed(answers, own, theirs, groups)
        return found

    def _official(
        self, rows: Sequence[Sample], predictions: Sequence[Prediction]
    ) -> dict[str, Any] | None:
        """The publisher's scores beside ours; None where there are none, or no tables for them."""
        official, tables = self._task.official, None
        if official is None or (official.tables and self.wheel_tables is None):
            return None
        if official.tables and self.wheel_tables is not None:
            tables = read_tables(Path(self.wheel_tables))
        scored = score(self._task, rows, predictions, compat="official", tables=tables)
        return scored["official"]

    def _others(self) -> dict[str, dict[str, Any]]:
        """Scores of other benchmarks in the run directory. One checkpoint makes a table."""
        found = read_runs(Path(self.run_dir))
        found.pop(self._task.name, None)
        mine = checkpoint.checkpoint_hash(Path(self.checkpoint))
        for name, summary in found.items():
            theirs = summary["variants"][summary["reference"]]["checkpoint"]
            if theirs != mine:
                raise ConfigError(
                    "run_dir",
                    f"{self.run_dir} has scores of {name} by checkpoint {theirs}",
                    expected=f"{mine}, or a folder without scores",
                    fix="choose another run_dir",
                )
        return found

    def _ceilings(self, path: Path) -> dict[str, float]:
        """What a corpus states about itself (`corpus.json` beside the manifest), if it does."""
        stated = path.with_name("corpus.json")
        if not stated.is_file():
            return {}
        return json.loads(stated.read_text())["ceilings"].get(self._task.split, {})
