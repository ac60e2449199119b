"""A training run: the stages of an experiment in order, each from the checkpoint before it."""

from __future__ import annotations

import gc
import hashlib
import importlib.metadata
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.data.features import ensure
from affect_mllm.data.loader import BatchPlan, StepDataset, step_loader
from affect_mllm.data.mixture import check_instructions
from affect_mllm.data.outline import Outliner
from affect_mllm.data.settings import DataSettings
from affect_mllm.log import LOGGER
from affect_mllm.models import checkpoint
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.callbacks import Callback, JsonlLog, ProgressBar, Tracker, check_tracker
from affect_mllm.train.checkpoint import StageCheckpoints
from affect_mllm.train.launch import Launch
from affect_mllm.train.optim import adamw, select
from affect_mllm.train.stage import Stage
from affect_mllm.train.trainer import Stopped, Trainer
from affect_mllm.types import ConfigError, ExitCode

Node = dict[str, Any]  # a part of the configuration, built when its time comes
PACKAGES = ("torch", "transformers", "peft", "accelerate", "timm", "affect-mllm")


@dataclass
class TrainRun:
    """The root of `conf/train.yaml`. `stage` selects one stage; None runs all in order.

    Every stage rebuilds model and optimiser from the checkpoint of the stage before, so that one
    run of all stages equals stage by stage. A finished stage is re-used, an interrupted one goes
    on from its newest checkpoint.
    """

    name: str
    model: Node
    data: Node
    stages: dict[str, Node]
    launch: Node
    run_dir: str
    seed: int = 1
    stage: Node | None = None
    tracker: Literal["none", "tensorboard", "wandb"] = "none"
    plugins: list[str] = field(default_factory=list)

    def run(self) -> ExitCode:
        """Train; DONE, or STOPPED when a signal asked for it. `status.json` says so too."""
        self._data: DataSettings = config.build(self.data)
        self._launch: Launch = config.build(self.launch)
        check_tracker(self.tracker)
        self._begun = False
        try:
            names = self._selected()
            for name in names:  # a wrong label must not show only when the last stage begins
                stage: Stage = config.build(self.stages[name])
                check_instructions(stage.sources, self._data.instructions)
            for name in names:
                self._run_stage(name)
                gc.collect()  # engine and model refer to each other; two stages' worth is too much
        except Stopped as stop:
            LOGGER.info("stopped on request at step %d; the same command goes on", stop.step)
            self._status("stopped")
            return ExitCode.STOPPED
        except BaseException:
            if self._begun:  # else a run that lives in this folder keeps its status
                self._status("failed")
            raise
        self._status("done")
        return ExitCode.DONE

    def _selected(self) -> list[str]:
        names = list(self.stages)
        if self.stage is None:
            return names
        wanted = str(self.stage["name"])
        if wanted not in names:
            raise ConfigError("stage", wanted, expected=f"one of {names}")
        return [wanted]

    def _run_stage(self, name: str) -> None:
        from accelerate.utils import set_seed

        stage: Stage = config.build(self.stages[name])
        parent = self._parent(name, stage)
        folder = Path(self.run_dir) / name
        checkpoints = StageCheckpoints(folder, self._config(), self._meta(stage, parent))
        if checkpoints.finished():
            LOGGER.info("stage %s: finished before, re-used (%s)", name, checkpoints.final)
            return
        resume = checkpoints.newest()
        set_seed(self.seed)
        engine = self._launch.accelerator()
        model: AffectMLLM = config.build(self.model).to(engine.device)
        origin = resume[0] if resume else parent
        if origin is not None:
            checkpoint.load_weights(origin, model)
        stage.prepare(model, fresh=resume is None)
        self._train(engine, model, stage, checkpoints, resume)

    def _train(
        self,
        engine: Any,
        model: AffectMLLM,
        stage: Stage,
        checkpoints: StageCheckpoints,
        resume: tuple[Path, int] | None,
    ) -> None:
        groups = select(model, stage.trainable)
        checkpoints.meta["trained"] = self._trained(model, checkpoints.meta["trained"])
        lora_idle = model.llm.lora_is_zero() and not any(
            p.requires_grad for n, p in model.llm.named_parameters() if "lora_" in n
        )
        model.llm.use_lora(not lora_idle)
        dataset = self._dataset(engine, model, stage)
        optimizer = adamw(groups, stage.trainable, weight_decay=stage.weight_decay)
        wrapped, optimizer = engine.prepare(model, optimizer)
        engine.register_save_state_pre_hook(_leave_weights_out)
        engine.register_load_state_pre_hook(_leave_models_out)
        first = 0
        if resume:
            first = resume[1]
            checkpoints.load_step(engine, resume[0])
            LOGGER.info("stage %s: goes on after step %d", stage.name, first)
        trained = sum(p.numel() for members in groups.values() for p in members)
        LOGGER.info("stage %s: %d steps, %.2f M trainable", stage.name, stage.steps, trained / 1e6)
        self._begun = True
        self._status("running")
        callbacks = self._callbacks(engine, stage, first)
        trainer = Trainer(
            engine,
            wrapped,
            optimizer,
            stage=stage,
            callbacks=callbacks,
            save=lambda step: checkpoints.save_step(engine, wrapped, step),
        )
        loader = step_loader(
            dataset, first_step=first, steps=stage.steps, workers=self._launch.workers
        )
        try:
            trainer.fit(loader, first, max_bad=self._data.max_bad_fraction)
        finally:
            for callback in callbacks:
                callback.close()
        checkpoints.save_final(engine, wrapped, stage.steps)

    def _dataset(self, engine: Any, model: AffectMLLM, stage: Stage) -> StepDataset:
        data, launch = self._data, self._launch
        mixture = stage.mixture(self.seed)
        features = data.features(model.transforms(), model.fingerprint())
        mine = [*mixture.samples()][engine.process_index :: engine.num_processes]
        ensure(features, mine, model.encode_clip, max_bad_fraction=data.max_bad_fraction)
        engine.wait_for_everyone()
        plan = BatchPlan(
            stage.batch_size,
            launch.micro_batches,
            launch.row_tokens,
            engine.process_index,
            engine.num_processes,
            budget=launch.budget,
            hidden_size=model.llm.hidden_size,
        )
        outliner = Outliner(
            data.maker(model.llm.tokenizer, model.span_lengths()),
            data.instructions,
            visual=data.reader.visual,
            modality_dropout=stage.modality_dropout,
            encoded=features.encoded,
            budget=launch.budget,
        )
        return StepDataset(mixture, outliner, features, plan=plan)

    def _callbacks(self, engine: Any, stage: Stage, first: int) -> list[Callback]:
        if not engine.is_main_process:
            return []
        folder = Path(self.run_dir)
        watchers: list[Callback] = [
            JsonlLog(folder / stage.name / "metrics.jsonl", first_step=first),
            ProgressBar(stage.name, first_step=first, steps=stage.steps),
        ]
        if self.tracker != "none":
            settings = {"model": self.model, "data": self.data, "stage": self.stages[stage.name]}
            name = f"{self.name}-{stage.name}"
            watchers.append(Tracker(self.tracker, folder, name, settings))
        return watchers

    def _parent(self, name: str, stage: Stage) -> Path | None:
        if stage.init_from != "previous":
            return Path(stage.init_from)
        names = list(self.stages)
        before = names.index(name)
        return None if before == 0 else Path(self.run_dir) / names[before - 1] / "final"

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

    def _meta(self, stage: Stage, parent: Path | None) -> dict[str, Any]:
        """Lineage: what this checkpoint came from, and a fingerprint of all that decides it."""
        before = {} if parent is None else checkpoint.read_meta(parent)
        lineage = before.get("lineage", [])
        origin = None if parent is None else checkpoint.checkpoint_hash(parent)
        data = {s.manifest: manifest.digest(Path(s.manifest)) for s in stage.sources}
        launch = {key: value for key, value in self.launch.items() if key != "workers"}
        decides = [self.model, self.data, self.stages[stage.name], launch]
        text = json.dumps([decides, self.seed, origin, sorted(data.values())], sort_keys=True)
        return {
            "stage": stage.name,
            "seed": self.seed,
            "experts": list(stage.experts),
            "trained": before.get("trained", []),
            "lineage": [*lineage, {"stage": stage.name, "parent": origin, "data": data}],
            "fingerprint": hashlib.sha256(text.encode()).hexdigest(),
            "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
            "git": _git_state(),
        }

    def _trained(self, model: AffectMLLM, before: list[str]) -> list[str]:
        """Base weights that a checkpoint must hold: of this stage and of those before it."""
        names = checkpoint.trained_base(model)
        if self._data.cache_dir is not None and any(n.startswith("encoders.") for n in names):
            raise ConfigError(
                "stage.trainable",
                "names an encoder, whose states come from the cache",
                fix="set data.cache_dir=null",
            )
        return sorted({*before, *names})

    def _status(self, state: str) -> None:
        if os.environ.get("RANK", "0") != "0":
            return
        folder = Path(self.run_dir)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / ".status.json"
        temporary.write_text(json.dumps({"state": state, "resumable": state != "done"}) + "\n")
        os.replace(temporary, folder / "status.json")


def _git_state() -> str | None:
    """Commit of the source tree, `+changes` if it has any; None where there is no git."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty=+changes", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _leave_weights_out(_models: list[Any], weights: list[Any], _folder: str) -> None:
    """The checkpoint has its own file for weights; the engine must not save the frozen LLM."""
    weights.clear()


def _leave_models_out(models: list[Any], _folder: str) -> None:
    models.clear()
