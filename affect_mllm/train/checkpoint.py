"""Saving and resuming a stage: weights plus engine state, written whole or not at all."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from affect_mllm.log import LOGGER
from affect_mllm.models import checkpoint as weights
from affect_mllm.types import CheckpointError, ConfigError


class StageCheckpoints:
    """The checkpoints of one stage: `step-000100` to resume from (the newest one), `final`."""

    def __init__(self, folder: Path, cfg: DictConfig, meta: dict[str, Any]) -> None:
        self.folder, self.cfg, self.meta = folder, cfg, meta

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
        found = sorted(path for path in self.folder.glob("step-*[0-9]") if path.is_dir())
        for path in reversed(found):
            try:
                self._check_same(path)
            except CheckpointError as error:
                LOGGER.warning("not resumed from: %s", error)
                continue
            return path, int(path.name.removeprefix("step-"))
        return None

    def save_step(self, engine: Any, model: Any, step: int) -> None:
        """A resumable checkpoint; older ones of the stage go once it is complete."""
        target = self.folder / f"step-{step:06d}"
        engine.wait_for_everyone()
        temporary = self._fresh(engine)
        with _disk(target):
            engine.save_state(str(temporary / "engine"), safe_serialization=True)
            engine.wait_for_everyone()
            if engine.is_main_process:
                self._write(temporary, engine.unwrap_model(model), step)
                hashes = {
                    str(path.relative_to(temporary)): weights.file_hash(path)
                    for path in sorted((temporary / "engine").rglob("*"))
                    if path.is_file()
                }
                state = {"step": step, "engine": hashes}
                (temporary / "data_state.json").write_text(json.dumps(state, indent=1))
                weights.replace_folder(temporary, target)
                for old in self.folder.glob("step-*"):
                    if old != target:
                        shutil.rmtree(old)
        engine.wait_for_everyone()

    def save_final(self, engine: Any, model: Any, step: int) -> None:
        """The stage's result; its resumable checkpoints are removed."""
        engine.wait_for_everyone()
        temporary = self._fresh(engine)
        if engine.is_main_process:
            with _disk(self.final):
                self._write(temporary, engine.unwrap_model(model), step)
                weights.replace_folder(temporary, self.final)
            for old in self.folder.glob("step-*"):
                shutil.rmtree(old)
        engine.wait_for_everyone()

    def load_step(self, engine: Any, path: Path) -> None:
        """Optimiser and RNG of a checkpoint whose engine files are what it says."""
        try:
            state = json.loads((path / "data_state.json").read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(
                str(path / "data_state.json"), f"unreadable ({error})", fix="delete this checkpoint"
            ) from error
        for name, expected in state["engine"].items():
            got = weights.file_hash(path / name) if (path / name).is_file() else "missing"
            if got != expected:
                raise CheckpointError(
                    str(path / name),
                    f"sha256 {got}",
                    expected=expected,
                    fix="delete this checkpoint; the stage starts anew",
                )
        engine.load_state(str(path / "engine"))

    def _write(self, folder: Path, model: Any, step: int) -> None:
        weights.save(folder, model, self.cfg, {**self.meta, "step": step})

    def _fresh(self, engine: Any) -> Path:
        temporary = self.folder / ".writing"
        if engine.is_main_process:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        engine.wait_for_everyone()
        return temporary

    def _check_same(self, path: Path) -> None:
        got = weights.read_meta(path).get("fingerprint")
        if got != self.meta["fingerprint"]:
            raise ConfigError(
                str(path),
                "is of a run with other settings, data or seed",
                fix="choose another run_dir, or remove this folder",
            )


class _disk:
    """A full disk becomes one clear message; what was saved before is still there."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        if full or (error is not None and "No space left" in str(error)):
            raise CheckpointError(
                str(self.target),
                "the disk is full; the last complete checkpoint is kept",
                fix="free some space and start the same command again",
            ) from error
