"""Saving and resuming a stage: weights plus engine state, written whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from affect_mllm.log import LOGGER
from affect_mllm.models import checkpoint as weights
from affect_mllm.models.tensor_file import Writes
from affect_mllm.train.keep import lineage
from affect_mllm.train.keep.progress import Progress
from affect_mllm.train.keep.saving import Saving, on_disk
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.plan.stage import Best
from affect_mllm.train.watch.callbacks import Callback
from affect_mllm.types import CheckpointError, ConfigError

State = dict[str, Any]


class StageCheckpoints:
    """The checkpoints of one stage.

    `step-000100` to resume from, the newest `keep_last` of them; `best`, by a validation metric;
    `final`, the stage's result, with which the steps go.
    """

    def __init__(
        self,
        folder: Path,
        cfg: DictConfig,
        meta: dict[str, Any],
        *,
        keep_last: int = 1,
        best: Best | None = None,
        async_save: bool | None = None,
    ) -> None:
        self.folder, self.cfg, self.meta = folder, cfg, meta
        self.keep_last, self.best, self.async_save = keep_last, best, async_save
        self._saving: Saving | None = None

    @property
    def final(self) -> Path:
        """Where the finished stage's checkpoint is."""
        return self.folder / "final"

    def finished(self) -> bool:
        """Whether this very stage was finished before. Another run's is refused."""
        if not self.final.is_dir():
            return False
        self._check_same(self.final)
        return True

    def newest(self) -> tuple[Path, int] | None:
        """The checkpoint to resume from and its step, or None."""
        for path in reversed(self._steps()):
            try:
                self._check_same(path)
            except CheckpointError as error:
                LOGGER.warning("not resumed from: %s", error)
                continue
            return path, int(path.name.removeprefix("step-"))
        return None

    def save_step(
        self, engine: Engine, callbacks: Sequence[Callback], step: int, *, progress: Progress
    ) -> None:
        """A resumable checkpoint; the oldest of the stage go once it is complete.

        With `async_save` the state of this moment is copied, and written while the steps go on.
        The one before is waited for; if it failed, its error is raised on all ranks.
        """
        target = self.folder / f"step-{step:06d}"
        later = engine.device.type == "cuda" if self.async_save is None else self.async_save
        with on_disk(target):
            temporary, writes = self._fresh(engine), Writes(later=later)
            if engine.is_main:
                (temporary / "engine").mkdir()
            engine.wait()
            engine.save(temporary / "engine", writes)
            for callback in callbacks:
                callback.save(temporary / "engine", writes)
            self._write(engine, temporary, step, progress.tokens_seen, writes)
            writes.complete()
            state = {
                "step": step,
                **progress.state(),
                "world": engine.world,
                "strategy": engine.strategy,
                "any_world": engine.any_world,
            }
            last = partial(self._complete, temporary, target, state) if engine.is_main else _nothing
            if later:
                self._saving = Saving(engine, target, [writes.do, last])
                return
            engine.wait()
            last()
        engine.wait()

    def _complete(self, temporary: Path, target: Path, state: State) -> None:
        """Every rank's files are there: give them their name."""
        state = {**state, "engine": _hashes(temporary)}
        (temporary / "data_state.json").write_text(json.dumps(state, indent=1))
        weights.replace_folder(temporary, target)
        for old in self._steps()[: -self.keep_last]:
            shutil.rmtree(old)

    @property
    def failed(self) -> bool:
        """Whether this rank knows that the checkpoint under way failed."""
        return self._saving is not None and self._saving.failed

    def wait(self) -> None:
        """Until nothing is being written. Raises, on all ranks, why it failed."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.wait()

    def settle(self) -> None:
        """`wait` where another error ends the run: this one is only said."""
        try:
            self.wait()
        except Exception as error:
            LOGGER.warning("no checkpoint was written: %s", error)

    def save_final(self, engine: Engine, step: int, *, tokens_seen: int) -> None:
        """The stage's result, the present weights or the best; the resumable ones are removed."""
        best = self._best()
        if self.best is not None and self.best.is_final and best is not None:
            self._copy(engine, self.folder / "best", self.final)
            LOGGER.info("stage %s: its result is of step %d", self.folder.name, best["step"])
        else:
            if self.best is not None and best is None:
                said = "stage %s: %s was never measured; its last weights are its result"
                LOGGER.warning(said, self.folder.name, self.best.metric)
            self._save_plain(engine, self.final, step, tokens_seen)
        if engine.is_main:
            for old in self._steps():
                shutil.rmtree(old)
        engine.wait()

    def offer(
        self, engine: Engine, step: int, metrics: Mapping[str, float], *, tokens_seen: int
    ) -> None:
        """Keep the present weights as `best` if their metric is; what is not measured in this step
        chooses nothing.

        Raises ConfigError when its like were measured and it is not among them.
        """
        if self.best is None:
            return
        if self.best.metric not in metrics:
            alike = [name for name in metrics if _source(name) == _source(self.best.metric)]
            if alike:
                raise ConfigError(
                    "stage.best.metric", self.best.metric, expected=f"one of {sorted(alike)}"
                )
            return
        value = metrics[self.best.metric]
        before = self._best()
        if self.best.better(value, None if before is None else before["best"]["value"]):
            chosen = {"metric": self.best.metric, "value": value, "mode": self.best.mode}
            self._save_plain(engine, self.folder / "best", step, tokens_seen, best=chosen)

    def is_over(self, step: int) -> bool:
        """Whether the best weights are so old that the stage ends; asked after `offer`."""
        patience, best = None if self.best is None else self.best.patience, self._best()
        return patience is not None and best is not None and step - best["step"] >= patience

    def _best(self) -> dict[str, Any] | None:
        """`meta.json` of this very stage's best weights so far."""
        path = self.folder / "best"
        meta = weights.read_meta(path) if path.is_dir() else None
        return meta if meta and meta.get("fingerprint") == self.meta["fingerprint"] else None

    def load_step(self, engine: Engine, path: Path) -> Progress:
        """Engine state of a checkpoint whose files are what it says; returns how far it was.

        Raises CheckpointError when a file was changed, or this engine cannot read it.
        """
        try:
            state: State = json.loads((path / "data_state.json").read_text())
            _check_engine(path, state, engine)
            hashes: dict[str, str] = state["engine"]
            progress = Progress.of(state)
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                str(path / "data_state.json"), f"unreadable ({error})", fix="delete this checkpoint"
            ) from error
        for name, expected in hashes.items():
            got = weights.file_hash(path / name) if (path / name).is_file() else "missing"
            if got != expected:
                raise CheckpointError(
                    str(path / name),
                    f"sha256 {got}",
                    expected=expected,
                    fix="delete this checkpoint; the stage goes on from the one before it",
                )
        engine.load(path / "engine")
        return progress

    def _save_plain(
        self, engine: Engine, target: Path, step: int, tokens_seen: int, **more: Any
    ) -> None:
        with on_disk(target):
            temporary = self._fresh(engine)
            self._write(engine, temporary, step, tokens_seen, Writes(), **more)
            if engine.is_main:
                weights.replace_folder(temporary, target)
        engine.wait()

    def _copy(self, engine: Engine, source: Path, target: Path) -> None:
        with on_disk(target):
            temporary = self._fresh(engine)
            if engine.is_main:
                shutil.copytree(source, temporary, dirs_exist_ok=True)
                weights.replace_folder(temporary, target)
        engine.wait()

    def _write(
        self,
        engine: Engine,
        folder: Path,
        step: int,
        tokens_seen: int,
        writes: Writes,
        **more: Any,
    ) -> None:
        module = engine.module
        names = weights.own_names(module, self.meta.get("trained", ()))
        names += [name for name in module.state_dict() if name.startswith(weights.HEADS_PREFIX)]
        own = engine.each(names)
        if engine.is_main:
            done = {"step": step, "tokens_seen": tokens_seen}
            *before, this = self.meta["lineage"]
            meta = {**self.meta, **done, **more, "lineage": [*before, {**this, **done}]}
            weights.write(folder, names, own, cfg=self.cfg, meta=meta, writes=writes)
        for _ in own:  # the others only help to gather
            pass

    def _fresh(self, engine: Engine) -> Path:
        self.wait()
        temporary = self.folder / ".writing"
        engine.wait()
        if engine.is_main:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        engine.wait()
        return temporary

    def _steps(self) -> list[Path]:
        found = (path for path in self.folder.glob("step-*[0-9]") if path.is_dir())
        return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))

    def _check_same(self, path: Path) -> None:
        got = weights.read_meta(path).get("fingerprint")
        if got != self.meta["fingerprint"]:
            raise ConfigError(
                str(path),
                lineage.difference(path, self.cfg, self.meta["stage"]),
                fix="choose another run_dir, or remove this folder",
            )


def _check_engine(path: Path, state: State, engine: Engine) -> None:
    """DeepSpeed's state is only for as many processes of the same strategy."""
    then, now = (state["strategy"], state["world"]), (engine.strategy, engine.world)
    if then != now and not (state["any_world"] and engine.any_world):
        raise CheckpointError(
            str(path),
            f"written by {then[1]} process(es) with {then[0]}",
            expected=f"written by {now[1]} process(es) with {now[0]}",
            fix="start it as it was begun: ZeRO's state cannot be cut anew. Between stages, and "
            "among single, ddp and fsdp2, strategy and number may change",
        )


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in (folder / "engine").rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): weights.file_hash(path) for path in files}


def _nothing() -> None:
    pass


def _source(metric: str) -> str:
    """What a metric is measured with: `val`, or `val/BENCHMARK`."""
    return metric.rpartition("/")[0]
