"""A training run: the stages of an experiment in order, each from the checkpoint before it."""

from __future__ import annotations

import contextlib
import gc
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf
from pydantic import PositiveFloat

from affect_mllm import config, lock
from affect_mllm.data.loader import StepBatch
from affect_mllm.data.settings import DataSettings
from affect_mllm.log import LOGGER
from affect_mllm.models import checkpoint
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train import ahead
from affect_mllm.train.keep import lineage
from affect_mllm.train.keep.ema import Ema
from affect_mllm.train.keep.progress import Progress
from affect_mllm.train.keep.reference import Reference, first_weights
from affect_mllm.train.keep.stage_checkpoints import StageCheckpoints
from affect_mllm.train.layout.engine import Engine, lost_rank
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.plan import dates, of_manifest, order
from affect_mllm.train.plan.speed import Speed
from affect_mllm.train.plan.stage import Stage, check_heads
from affect_mllm.train.plan.trainable import quiet, select, spoken
from affect_mllm.train.rollout.rollouts import Rollouts
from affect_mllm.train.step.feed import Feed
from affect_mllm.train.step.trainer import Stopped, Trainer
from affect_mllm.train.step.validation import ValidationLoss
from affect_mllm.train.watch import benchmarks
from affect_mllm.train.watch.benchmarks import MakeBenchmark
from affect_mllm.train.watch.callbacks import (
    Callback,
    JsonlLog,
    ProgressBar,
    Tracker,
    check_tracker,
)
from affect_mllm.types import ConfigError, ExitCode

Node = dict[str, Any]  # a part of the configuration, built when its time comes


@dataclass
class TrainRun:
    """The root of `conf/train.yaml`. `stage` selects one stage; None runs all in order.

    `from_stage` leaves out the stages before it. Every stage rebuilds model and optimiser from the
    checkpoint of the stage before, so that one run of all stages equals stage by stage. A finished
    stage is re-used, an interrupted one goes on from its newest checkpoint; with `resume=never`
    both are refused instead. `dry_run` takes two steps of each stage and keeps nothing
    (`train/dry_run.py`).
    `name` is the run's and of its folder in outputs/ unless `run_dir` says another; `model`,
    `data`, `stages` and `launch` are the groups of `conf/` that an experiment puts together. `seed`
    decides every draw. `tracker` sends the numbers of `metrics.jsonl` elsewhere, too. `speed` makes
    a step cheaper. A step that stays in one phase longer than `stuck_after_s` seconds is reported.
    `plugins` are packages whose classes a YAML may name.
    """

    name: str
    model: Node
    data: Node
    stages: dict[str, Node]
    launch: Node
    run_dir: str
    seed: int = 1
    stage: Node | None = None
    from_stage: str | None = None
    resume: Literal["auto", "never"] = "auto"
    tracker: Literal["none", "tensorboard", "wandb"] = "none"
    speed: Node = field(default_factory=dict)
    stuck_after_s: PositiveFloat = 600.0
    dry_run: bool = False
    plugins: list[str] = field(default_factory=list)

    def run(self, make_benchmark: MakeBenchmark | None = None) -> ExitCode:
        """Train; DONE, or STOPPED when a signal asked for it. `status.json` says so too.

        `make_benchmark` makes what a stage's `benchmarks` asks for; training knows none itself.
        """
        if self.dry_run:
            raise ConfigError("dry_run", "true", fix="take it by `train.dry_run.take(run)`")
        self._make_benchmark = make_benchmark
        self.data, self.stages = of_manifest.settled(self.data, self.stages, plugins=self.plugins)
        self._data: DataSettings = self._build(self.data, DataSettings)
        self._launch: Launch = self._build(self.launch, Launch)
        check_tracker(self.tracker)
        main = os.environ.get("RANK", "0") == "0"
        with lock.held(Path(self.run_dir), key="run_dir") if main else contextlib.nullcontext():
            return self._run()

    def _run(self) -> ExitCode:
        """The stages, in a folder that is this run's alone."""
        self._begun = False
        try:
            stages = [self._build(self.stages[name], Stage) for name in self.selected()]
            self._speeds = {stage.name: self._speed_of(stage) for stage in stages}
            ahead.check_quantized(self.model, self._launch)
            ahead.check_settings(stages, self._data, self._launch, self._make_benchmark)
            self._unchecked = stages  # by a model; the first stage's checks them all
            self._accelerator = self._launch.accelerator(
                max_norms=[stage.max_grad_norm for stage in stages]
            )
            self.data = dates.fixed(
                self.data, Path(self.run_dir), self.stages, parent=self.parent(stages[0])
            )
            self._data = self._build(self.data, DataSettings)
            for stage in stages:
                self._run_stage(stage)
                gc.collect()  # engine and model refer to each other; two stages' worth is too much
        except Stopped as stop:
            LOGGER.info("stopped on request at step %d; the same command goes on", stop.step)
            self._status("stopped")
            return ExitCode.STOPPED
        except BaseException as error:
            if self._begun:  # else a run that lives in this folder keeps its status
                self._status("failed")
            lost = lost_rank(error) if isinstance(error, RuntimeError) else None
            if lost is not None:
                raise lost from error
            raise
        self._status("done")
        return ExitCode.DONE

    def _speed_of(self, stage: Stage) -> Speed:
        """The run's settings, with the stage's own in their places."""
        target = f"{Speed.__module__}.{Speed.__qualname__}"
        where = f"stages.{stage.name}.speed" if stage.speed else "speed"
        node = {"_target_": target, **self.speed, **stage.speed}
        return config.build(node, kind=Speed, plugins=self.plugins, where=where)

    def _build(self, node: Node, kind: type) -> Any:
        return config.build(node, kind=kind, plugins=self.plugins)

    def selected(self) -> list[str]:
        """The names of the stages to run; raises as `order.selected`."""
        return order.selected(self.stages, only=self.stage, begin=self.from_stage)

    def _run_stage(self, stage: Stage) -> None:
        from accelerate.utils import set_seed

        parent = self.parent(stage)
        meta = lineage.meta(stage, parent, seed=self.seed, decides=self._decides(stage))
        checkpoints = StageCheckpoints(
            Path(self.run_dir) / stage.name,
            self._config(),
            meta,
            keep_last=stage.keep_last,
            best=stage.best,
            async_save=self._launch.async_save,
        )
        self._check_resume(checkpoints)
        if checkpoints.finished():
            LOGGER.info("stage %s: finished before, re-used (%s)", stage.name, checkpoints.final)
            return
        resume = checkpoints.newest()
        set_seed(self.seed)
        engine = self._launch.engine(self._accelerator)
        model: AffectMLLM = self._build(self.model, AffectMLLM)
        engine.bring(model)
        if self._unchecked:
            ahead.check_stages(model, self._unchecked, self._data, seed=self.seed)
            self._unchecked = []
        stage.add_heads(model)
        select(model, stage.trainable)
        first = first_weights(model, stage, parent)
        origin = resume[0] if resume else parent
        if origin is not None:
            checkpoint.load_weights(origin, model)
            checkpoint.load_heads(origin, model.heads, strict=resume is not None)
        stage.prepare(model, fresh=resume is None)
        try:
            self._train(engine, model, stage, checkpoints, resume, first)
        finally:
            engine.close()

    def _check_resume(self, checkpoints: StageCheckpoints) -> None:
        if self.resume == "never" and (checkpoints.finished() or checkpoints.newest()):
            raise ConfigError(
                "resume",
                f"never, but {checkpoints.folder} has checkpoints",
                fix="choose another run_dir, remove that folder, or leave resume=auto",
            )

    def _train(
        self,
        engine: Engine,
        model: AffectMLLM,
        stage: Stage,
        checkpoints: StageCheckpoints,
        resume: tuple[Path, int] | None,
        reference: Reference | None,
    ) -> None:
        groups = self._freeze(model, stage, checkpoints)
        feed = Feed(engine, self._data, self._launch, self.seed)
        dataset, held_out = feed.training(model, stage), feed.held_out(model, stage)
        asked = benchmarks.of_stage(engine, stage, self._make_benchmark, self._data, model)
        engine.prepare(model, stage.optimizer_of, max_norm=stage.max_grad_norm)
        torch.manual_seed(self.seed + engine.rank)  # or ranks would drop the same places
        average = None if stage.ema is None else Ema(model, decay=stage.ema, rank=engine.rank)
        first, progress = _resumed(engine, checkpoints, resume, average)
        LOGGER.info("stage %s: %d steps; %s", stage.name, stage.steps, groups)
        self._begun = True
        self._status("running")
        objective = Objective(stage.losses, world=engine.world)
        rollouts = Rollouts.made(
            engine,
            stage.rollout,
            self._data.chat(model.llm.tokenizer),
            row_tokens=self._launch.row_tokens,
            told=(self.seed, stage.name),
            folder=checkpoints.folder,
            first_step=first,
            rows=dataset.mixture.samples(stage.rollout.questions if stage.rollout else ()),
        )
        callbacks = self._callbacks(engine, stage, first)  # their clocks begin here
        if held_out is not None and stage.validation is not None:
            batches = partial(feed.loader, held_out, 0, stage.validation.batches)
            every = stage.validation.every
            watched = ValidationLoss(engine, objective, batches, every=every, reference=reference)
            callbacks.append(watched)
        callbacks += [each for each in (asked, average) if each is not None]
        trainer = Trainer(
            engine,
            stage=stage,
            objective=objective,
            callbacks=callbacks,
            checkpoints=checkpoints,
            progress=progress,
            reference=reference,
            rollouts=rollouts,
        )
        self._fit(trainer, feed.loader(dataset, first, stage.steps), first)

    def _fit(self, trainer: Trainer, loader: Iterable[StepBatch], first: int) -> None:
        """The steps after `first`, and the stage's result."""
        trainer.watchdog.limit_s = self.stuck_after_s
        try:
            trainer.fit(loader, first, max_bad=self._data.max_bad_fraction)
        except BaseException:
            trainer.checkpoints.settle()
            raise
        finally:
            for callback in trainer.callbacks:
                callback.stop()
        seen = trainer.progress.tokens_seen
        with trainer.averaged():
            trainer.checkpoints.save_final(trainer.engine, trainer.last, tokens_seen=seen)

    def _freeze(self, model: AffectMLLM, stage: Stage, checkpoints: StageCheckpoints) -> str:
        """Leave trainable what the stage names, and say it; LoRA that stays zero is off."""
        groups = spoken(select(model, stage.trainable), stage.trainable)
        self._speeds[stage.name].apply(model)
        check_heads(model, stage.losses)
        if stage.compares or stage.rollout is not None:
            quiet(model)
        checkpoints.meta["trained"] = self._trained(model, checkpoints.meta["trained"])
        lora_idle = model.llm.lora_is_zero() and not any(
            p.requires_grad for n, p in model.llm.named_parameters() if "lora_" in n
        )
        model.llm.use_lora(not lora_idle)
        return groups

    def _callbacks(self, engine: Engine, stage: Stage, first: int) -> list[Callback]:
        if not engine.is_main:
            return []
        folder = Path(self.run_dir)
        watchers: list[Callback] = [
            JsonlLog(folder / stage.name / "metrics.jsonl", first_step=first),
            ProgressBar(stage.name, first_step=first, steps=stage.steps),
        ]
        if self.tracker != "none":
            settings = {"model": self.model, "data": self.data, "stage": self.stages[stage.name]}
            name = f"{self.name}-{stage.name}"
            watchers.append(Tracker(self.tracker, folder, name, settings, first_step=first))
        return watchers

    def parent(self, stage: Stage) -> Path | None:
        """The checkpoint that a stage starts from, or None for the very first."""
        return order.parent(stage, list(self.stages), Path(self.run_dir))

    def _config(self) -> DictConfig:
        keep = {
            "name": self.name,
            "seed": self.seed,
            "model": self.model,
            "data": self.data,
            "stages": self.stages,
            "launch": self.launch,
        }
        return OmegaConf.create(keep)

    def _decides(self, stage: Stage) -> Node:
        """What decides a stage's result beside seed, parent and data."""
        rewards = {} if stage.rollout is None else stage.rollout.rewards
        tables = {name: each.identity() for name, each in rewards.items() if each.identity()}
        return {
            **({"rewards": tables} if tables else {}),
            "model": self.model,
            "data": lineage.deciding(self.data),
            "stage": lineage.deciding(self.stages[stage.name]),
            "precision": self._launch.precision,
        }

    def _trained(self, model: AffectMLLM, before: list[str]) -> list[str]:
        """Base weights that a checkpoint must hold: of this stage and of those before it."""
        names = checkpoint.trained_base(model)
        ahead.check_cached(names, self._data)
        return sorted({*before, *names})

    def _status(self, state: str) -> None:
        if os.environ.get("RANK", "0") != "0":
            return
        folder = Path(self.run_dir)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / ".status.json"
        temporary.write_text(json.dumps({"state": state, "resumable": state != "done"}) + "\n")
        os.replace(temporary, folder / "status.json")


def _resumed(
    engine: Engine,
    checkpoints: StageCheckpoints,
    resume: tuple[Path, int] | None,
    average: Ema | None,
) -> tuple[int, Progress]:
    """The last step that was taken and how far it came; engine and average as they were then."""
    if resume is None:
        return 0, Progress()
    folder, first = resume
    progress = checkpoints.load_step(engine, folder)
    if average is not None:
        average.load(folder / "engine")
    LOGGER.info("stage %s: goes on after step %d", checkpoints.folder.name, first)
    return first, progress
