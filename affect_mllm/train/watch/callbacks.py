"""What happens around steps, and what watches them: progress bar, JSONL, TensorBoard, wandb."""

from __future__ import annotations

import importlib.util
import json
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from affect_mllm.models.tensor_file import Writes
from affect_mllm.types import ConfigError

Row = dict[str, Any]


class Callback:
    """What happens around steps. Override what is wanted; on every rank unless said otherwise."""

    def log(self, row: Row) -> None:
        """One step's numbers, after its update; no loss where only `eval` is new."""

    def evaluate(self, step: int, *, last: bool) -> dict[str, float]:
        """Metrics of this step, named `SPLIT/METRIC`, or none. The model may be in eval mode."""
        return {}

    def save(self, folder: Path, writes: Writes) -> None:
        """Have `writes` put state of your own into the checkpoint in `folder`."""

    def stop(self) -> None:
        """The stage is over."""


class JsonlLog(Callback):
    """Every step's row in `metrics.jsonl`; rows after a resume point are written anew."""

    def __init__(self, path: Path, *, first_step: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = []
        if path.is_file():
            lines = path.read_text().splitlines(keepends=True)
            whole = (line for line in lines if line.endswith("\n"))  # a kill tears the last one
            kept = [line for line in whole if json.loads(line)["step"] <= first_step]
        path.write_text("".join(kept))
        last = json.loads(kept[-1]) if kept else {}
        self._before = float(last.get("seconds", 0.0))
        self._cpu = float(last.get("cpu_seconds", 0.0)) - time.process_time()
        self._stream = path.open("a")

    def log(self, row: Row) -> None:
        """Append one line and flush it; `seconds` counts from the stage's very start.

        So does `cpu_seconds`, of all threads of this process.
        """
        spent = {"seconds": row["seconds"] + self._before}
        row = {**row, **spent, "cpu_seconds": time.process_time() + self._cpu}
        self._stream.write(json.dumps(row) + "\n")
        self._stream.flush()

    def stop(self) -> None:
        """Close the file."""
        self._stream.close()


class ProgressBar(Callback):
    """A rich bar with loss, supervised tokens/s, time left and the share of waiting for data."""

    def __init__(self, name: str, *, first_step: int, steps: int) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}"),
            refresh_per_second=2,
        )
        self._task = self._bar.add_task(name, total=steps, completed=first_step, numbers="")
        self._bar.start()
        self._name, self._plain = name, not self._bar.console.is_terminal

    def log(self, row: Row) -> None:
        """Move the bar; where the output is no terminal, print a line now and then."""
        if "loss" not in row:
            self._bar.update(self._task, completed=row["step"])
            return
        numbers = (
            f"loss {row['loss']:.3f}  {row['supervised_tokens_per_s']:.0f} tok/s  "
            f"wait {row['data_wait']:.0%}"
        )
        self._bar.update(self._task, completed=row["step"], numbers=numbers)
        if self._plain and (row["step"] % 25 == 0 or row["step"] in (1, row["steps"])):
            left = row["seconds_left"]
            print(
                f"{self._name}: step {row['step']}/{row['steps']}  {numbers}  {left:.0f} s left",
                flush=True,
            )

    def stop(self) -> None:
        """Leave the finished bar on the screen."""
        if self._plain:
            self._bar.disable = True
        self._bar.stop()


class Tracker(Callback):
    """Rows to TensorBoard or wandb (`WANDB_MODE=offline` works), one run however often resumed.

    wandb's id of the run is kept in `FOLDER/wandb/NAME.id`. Rows after `first_step` are logged
    anew: TensorBoard purges what an earlier process wrote of them, wandb keeps the first.
    """

    def __init__(
        self, kind: str, folder: Path, name: str, config: dict[str, Any], *, first_step: int = 0
    ) -> None:
        self._kind, self._wandb, self._board = kind, None, None
        if kind == "wandb":
            import wandb

            self._wandb = wandb.init(
                project="affect_mllm",
                name=name,
                dir=str(folder),
                config=config,
                id=_run_id(folder / "wandb" / f"{name}.id"),
                resume="allow",
                reinit=True,
            )
        else:
            from torch.utils.tensorboard import SummaryWriter

            board = str(folder / "tensorboard" / name)
            self._board = SummaryWriter(board, purge_step=first_step + 1)

    def log(self, row: Row) -> None:
        """All numbers of the row, nested names joined by slashes."""
        numbers = dict(_flat(row))
        if self._wandb is not None:
            self._wandb.log(numbers, step=row["step"])
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(name, value, row["step"])

    def stop(self) -> None:
        """Flush and end the tracker's run."""
        if self._wandb is not None:
            self._wandb.finish()
        if self._board is not None:
            self._board.close()


def _run_id(path: Path) -> str:
    """The id in the file, which is made with a new one where there is none."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}")
        temporary.write_text(uuid.uuid4().hex[:16] + "\n")
        os.replace(temporary, path)
    return path.read_text().strip()


def check_tracker(kind: str) -> None:
    """ConfigError if the tracker's package is not installed."""
    if kind != "none" and importlib.util.find_spec(kind) is None:
        raise ConfigError(
            "tracker", f"{kind}, which is not installed", fix="pip install 'affect-mllm[tracking]'"
        )


def _flat(row: Row, prefix: str = "") -> Sequence[tuple[str, float]]:
    pairs: list[tuple[str, float]] = []
    for key, value in row.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{key}/")
        elif isinstance(value, int | float):
            pairs.append((f"{prefix}{key}", value))
    return pairs
