"""An evaluation run: one checkpoint, one benchmark, as many modality subsets as asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.data.features import ensure
from affect_mllm.data.settings import DataSettings
from affect_mllm.eval.answers import ALL, Asker, predict_file, subset_name
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.eval.summary import read_runs, summarise, write_results
from affect_mllm.eval.task import Task
from affect_mllm.log import LOGGER
from affect_mllm.models import checkpoint
from affect_mllm.types import ConfigError, DataError, ExitCode, Sample

UNTRAINED = "untrained"


@dataclass
class EvalRun:
    """The root of `conf/eval.yaml`.

    `subsets`: what the model may see, such as `[face+audio+text, text]`, or `[all]` for every
    single modality, pair and triple. `untrained` asks the model before any training too.
    Predictions land in RUN_DIR/eval/BENCHMARK, scores of all benchmarks in RUN_DIR/results.json.
    """

    checkpoint: str
    benchmark: Task
    run_dir: str
    manifest: str | None = None
    cache_dir: str | None = None
    subsets: list[str] = field(default_factory=lambda: ["face+audio+text"])
    untrained: bool = False
    batch_size: int = 32
    max_new_tokens: int = 12
    plugins: list[str] = field(default_factory=list)

    def run(self) -> ExitCode:
        """Generate, score, write; prints where."""
        self._others()  # before anything slow
        rows, path = self._rows()
        chosen = self.benchmark.select(rows)
        check_required(self.benchmark, chosen)
        subsets = parse_subsets(self.subsets)
        folder = Path(self.run_dir) / "eval" / self.benchmark.name
        files = {subset_name(s): folder / f"{subset_name(s)}.predictions.jsonl" for s in subsets}
        asker = self._asker(chosen, path, trained=True)
        for subset in subsets:
            self._predict(asker, chosen, files[subset_name(subset)], subset)
        if self.untrained:
            files[UNTRAINED] = folder / f"{UNTRAINED}.predictions.jsonl"
            self._predict(self._asker(chosen, path, trained=False), chosen, files[UNTRAINED], ALL)
        self._summarise(rows, path, files)
        return ExitCode.DONE

    def _rows(self) -> tuple[Sequence[Sample], Path]:
        cfg = checkpoint.load_config(Path(self.checkpoint))
        path = self.manifest or cfg.data.get("manifest")
        if path is None:
            raise ConfigError("manifest", "none", fix="give manifest=FILE")
        return manifest.read(Path(path)), Path(path)

    def _asker(self, samples: Sequence[Sample], path: Path, *, trained: bool) -> Asker:
        folder = Path(self.checkpoint)
        cfg = checkpoint.load_config(folder)
        if self.cache_dir is not None:
            cfg.data.cache_dir = self.cache_dir
        config.check(cfg.data, plugins=self.plugins)
        data: DataSettings = config.build(cfg.data)
        model = checkpoint.load_model(folder, plugins=self.plugins, trained=trained)
        features = data.features(model.transforms(), model.fingerprint())
        ensure(features, samples, model.encode_clip, max_bad_fraction=data.max_bad_fraction)
        maker = data.maker(model.llm.tokenizer, model.span_lengths())
        name = checkpoint.checkpoint_hash(folder) + ("" if trained else "-untrained")
        return Asker(
            model,
            maker,
            features,
            name,
            batch_size=self.batch_size,
            max_new_tokens=self.max_new_tokens,
            data=manifest.digest(path),
        )

    def _predict(
        self, asker: Asker, samples: Sequence[Sample], path: Path, subset: Sequence[str]
    ) -> None:
        question = self.benchmark.question
        stamp = asker.stamp(question)
        fresh = predict_file(
            path, samples, lambda rest: asker.answer(rest, question, subset), stamp=stamp
        )
        said = f"{len(samples)} answers" if fresh else "re-used"
        LOGGER.info("%s, %s: %s (%s)", self.benchmark.name, path.name.split(".")[0], said, path)

    def _summarise(self, rows: Sequence[Sample], path: Path, files: dict[str, Path]) -> None:
        runs = {name: read_predictions(file) for name, file in files.items()}
        reference = next(iter(files))
        summary = summarise(
            self.benchmark, rows, runs, ceilings=self._ceilings(path), reference=reference
        )
        summary |= {"manifest": str(path), "predictions": {n: str(f) for n, f in files.items()}}
        others = self._others()
        meta = checkpoint.read_meta(Path(self.checkpoint))
        info: dict[str, Any] = {
            "seed": meta["seed"],
            "checkpoint": self.checkpoint,
            "lineage": meta["lineage"],
            "packages": meta["packages"],
            "git": meta["git"],
        }
        _say(summary)
        ordered = sorted({**others, self.benchmark.name: summary}.items())
        LOGGER.info("scores: %s", write_results(Path(self.run_dir), dict(ordered), info=info))

    def _others(self) -> dict[str, dict[str, Any]]:
        """Scores of other benchmarks in the run directory. One checkpoint makes a table."""
        found = read_runs(Path(self.run_dir))
        found.pop(self.benchmark.name, None)
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
        return json.loads(stated.read_text())["ceilings"].get(self.benchmark.split, {})


def check_required(task: Task, samples: Sequence[Sample]) -> None:
    """DataError naming the rows that lack a modality which the task requires."""
    for needed in task.require:
        kinds = {"face": {"video", "image", "faces"}, "audio": {"video", "audio"}}
        lacking = [
            sample.id
            for sample in samples
            if not (sample.subtitle if needed == "text" else kinds[needed] & set(sample.media))
        ]
        if lacking:
            raise DataError(
                f"benchmark {task.name}",
                f"{len(lacking)} rows without {needed}: {', '.join(lacking[:10])}",
                expected=f"{needed} in every row (the task's `require`)",
            )


def _say(summary: dict[str, Any]) -> None:
    """A line for each variant, on stderr with the rest of the progress."""
    for name, variant in summary["variants"].items():
        found = next(iter(variant["metrics"].values()))
        ceiling = variant["ceiling"]
        LOGGER.info(
            "%-16s %s %.3f [%.3f, %.3f]  n %d  unparsed %d%s",
            name,
            next(iter(variant["metrics"])),
            found["value"],
            found["ci_low"],
            found["ci_high"],
            found["n"],
            found["n_unparsed"],
            "" if ceiling is None else f"  ceiling {ceiling:.3f}",
        )


def parse_subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Modality subsets from their names, the largest first. Raises ConfigError."""
    if list(names) == ["all"]:
        return [c for size in (3, 2, 1) for c in combinations(ALL, size)]
    parsed = [tuple(name.split("+")) for name in names]
    for subset in parsed:
        unknown = set(subset) - set(ALL)
        if unknown:
            raise ConfigError("subsets", f"{sorted(unknown)}", expected=f"some of {ALL}, or [all]")
    return parsed
