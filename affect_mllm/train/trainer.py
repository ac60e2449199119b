"""The training loop: forward, backward, update, log, save, stop. It knows nothing of models."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType
from typing import Any

import torch

from affect_mllm.data.loader import StepBatch
from affect_mllm.train.callbacks import Callback, Row
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.optim import set_rates
from affect_mllm.train.stage import Stage
from affect_mllm.types import DataError

FEW = 500  # examples below which a share of bad ones says nothing yet


class Stopped(Exception):
    """A signal asked the run to stop; a checkpoint was written at `step`."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.step = step


class Trainer:
    """Runs one stage's steps on an accelerate engine.

    `save(step)` writes a resumable checkpoint. The loss of a step is the sum of token losses over
    all ranks and micro-batches divided by all their supervised tokens.
    """

    def __init__(
        self,
        engine: Any,
        model: torch.nn.Module,
        optimizer: Any,
        *,
        stage: Stage,
        callbacks: Sequence[Callback],
        save: Callable[[int], None],
    ) -> None:
        self.engine, self.model, self.optimizer = engine, model, optimizer
        self.stage, self.callbacks, self.save = stage, callbacks, save
        self.stop_asked = False
        self.seen = self.bad = 0
        self.objective = Objective({"lm": TokenLoss()})

    def fit(self, loader: Iterable[StepBatch], first_step: int, *, max_bad: float) -> None:
        """Steps `first_step + 1 … stage.steps`. Raises Stopped when a signal came."""
        self.model.train()
        start = time.perf_counter()
        with self._signals():
            for step, (batch, waited) in enumerate(_timed(loader), first_step + 1):
                began = time.perf_counter()
                self._count_bad(batch, max_bad)
                row = self.train_step(step, batch)
                busy = time.perf_counter() - began
                self._log(row, step, waited, busy, start, first_step)
                if self._agreed(self.stop_asked):
                    self.save(step)
                    raise Stopped(step)
                if step % self.stage.save_every == 0 and step < self.stage.steps:
                    self.save(step)

    def train_step(self, step: int, batch: StepBatch) -> Row:
        """One update. Raises DataError, before the update, when the loss is not finite."""
        factor = self.stage.schedule.factor(step - 1, self.stage.steps)
        rates = set_rates(self.optimizer, factor)
        tokens = self._sum(float(batch.supervised_tokens))
        if not tokens:
            raise DataError(f"step {step}", "no supervised token in the whole batch")
        loss_sum, gates = 0.0, {}
        broken: list[str] = []
        # Ranks may hold different numbers of micro-batches, so nothing in here waits for another
        # rank; gradients are added up once, below.
        with self.engine.no_sync(self.model):
            for micro in batch.micro_batches:
                micro = micro.to(self.engine.device)
                terms = self.model(micro, self.objective)
                loss = terms.losses["lm"]
                if not bool(torch.isfinite(loss)):
                    broken += micro.sample_ids
                    break
                self.engine.backward(loss * (1 / tokens))
                loss_sum += float(loss.detach())
                gates = {name: total / total.sum() for name, total in terms.gates.items()}
        self._check_finite(step, broken)
        self._add_up_gradients()
        norm = self.engine.clip_grad_norm_(self.model.parameters(), self.stage.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {
            "loss": self._sum(loss_sum) / tokens,
            "grad_norm": float(norm),
            "supervised_tokens": int(tokens),
            **batch.numbers(),
            "lr": rates,
            "gate": self._gates(gates),
        }

    def _gates(self, gates: dict[str, torch.Tensor]) -> dict[str, dict[str, float]]:
        model = self.engine.unwrap_model(self.model)
        return {
            name: dict(zip(model.gate_names(name), weights.tolist(), strict=True))
            for name, weights in gates.items()
        }

    def _log(
        self, row: Row, step: int, waited: float, busy: float, start: float, first: int
    ) -> None:
        spent = time.perf_counter() - start
        done = step - first
        row = {
            "stage": self.stage.name,
            "step": step,
            "steps": self.stage.steps,
            **row,
            "supervised_tokens_per_s": row["supervised_tokens"] / (busy + waited),
            "data_wait": waited / (busy + waited),
            "seconds": spent,
            "seconds_left": spent / done * (self.stage.steps - step),
        }
        for callback in self.callbacks:
            callback.log(row)

    def _count_bad(self, batch: StepBatch, limit: float) -> None:
        from affect_mllm.log import LOGGER

        for name, reason in batch.skipped:
            LOGGER.warning("bad sample skipped: %s: %s", name, reason)
        self.bad += int(self._sum(float(len(batch.skipped))))
        self.seen += int(self._sum(float(batch.examples + len(batch.skipped))))
        few = min(FEW, self.stage.steps * self.stage.batch_size)
        if self.bad > limit * max(self.seen, few):
            raise DataError(
                f"stage {self.stage.name}",
                f"{self.bad} of {self.seen} samples are bad",
                expected=f"at most {limit:.1%}",
                fix="mend or remove them",
            )

    def _check_finite(self, step: int, broken: Sequence[str]) -> None:
        """Stop all ranks when the loss of one is not finite; `broken` are this rank's samples."""
        if self._agreed(bool(broken)):
            where = ", ".join(broken) or "of another rank"
            raise DataError(
                f"stage {self.stage.name}, step {step}",
                f"the loss is not finite; samples {where}",
                expected="a finite loss; weights were not updated",
                fix="lower the learning rate or look at these samples",
            )

    def _add_up_gradients(self) -> None:
        """Sum every parameter's gradient over ranks; one that no rank used keeps none."""
        if self.engine.num_processes == 1:
            return
        everything = [p for group in self.optimizer.param_groups for p in group["params"]]
        here = [float(p.grad is not None) for p in everything]
        used = self.engine.reduce(torch.tensor(here, device=self.engine.device), "sum") > 0
        members = [p for p, any_rank in zip(everything, used.tolist(), strict=True) if any_rank]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in members]
        flat = self.engine.reduce(torch.cat([part.reshape(-1) for part in parts]), "sum")
        sums = flat.split([p.numel() for p in members])
        for parameter, total in zip(members, sums, strict=True):
            parameter.grad = total.view_as(parameter).clone()

    def _agreed(self, flag: bool) -> bool:
        """True on all ranks as soon as it is true on one."""
        return self._sum(float(flag)) > 0

    def _sum(self, value: float) -> float:
        if self.engine.num_processes == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.engine.device)
        return float(self.engine.reduce(tensor, "sum"))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM, SIGINT and SIGUSR1 only set a flag; the step under way is finished first."""

        def ask(_number: int, _frame: FrameType | None) -> None:
            self.stop_asked = True

        watched = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        old = {number: signal.signal(number, ask) for number in watched}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


def _timed(loader: Iterable[StepBatch]) -> Iterator[tuple[StepBatch, float]]:
    """Each batch with the seconds spent waiting for it."""
    source = iter(loader)
    while True:
        began = time.perf_counter()
        try:
            batch = next(source)
        except StopIteration:
            return
        yield batch, time.perf_counter() - began
