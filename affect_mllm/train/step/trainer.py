"""The training loop: forward, backward, update, log, save, stop. It knows nothing of models."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from types import FrameType

from affect_mllm.data.loader import StepBatch
from affect_mllm.log import LOGGER
from affect_mllm.train.keep.ema import Ema
from affect_mllm.train.keep.progress import Progress
from affect_mllm.train.keep.reference import Reference
from affect_mllm.train.keep.stage_checkpoints import StageCheckpoints
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.plan.optim import set_rates
from affect_mllm.train.plan.stage import Stage
from affect_mllm.train.rollout.rollouts import Rollouts
from affect_mllm.train.step.agree import Agreed, agree
from affect_mllm.train.step.beside import coming
from affect_mllm.train.step.tally import Gates, Sums, Tally
from affect_mllm.train.watch.callbacks import Callback, Row
from affect_mllm.train.watch.pace import Pace
from affect_mllm.train.watch.watchdog import Watchdog
from affect_mllm.types import DataError

FEW = 500  # examples below which a share of bad ones says nothing yet


class Stopped(Exception):
    """A signal asked the run to stop; a checkpoint was written at `step`."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.step = step


class Trainer:
    """Runs one stage's steps on an engine that has its model.

    Every loss is a sum over all ranks and micro-batches of a step, divided by the number of its
    items in the whole step.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        stage: Stage,
        objective: Objective,
        callbacks: Sequence[Callback],
        checkpoints: StageCheckpoints,
        progress: Progress,
        reference: Reference | None = None,
        rollouts: Rollouts | None = None,
    ) -> None:
        self.engine, self.stage, self.objective = engine, stage, objective
        self.callbacks, self.checkpoints = callbacks, checkpoints
        self.average = next((each for each in callbacks if isinstance(each, Ema)), None)
        self.pace, self.watchdog = Pace(engine.device, engine.dtype), Watchdog()
        self.stop_asked = False
        self.last = stage.steps  # the step after which the stage ended
        self.progress, self.reference, self.rollouts = progress, reference, rollouts

    def fit(self, loader: Iterable[StepBatch], first_step: int, *, max_bad: float) -> None:
        """Steps `first_step + 1 … stage.steps`, or until `best` is too old.

        Raises Stopped when a signal came.
        """
        self.engine.module.train()
        start = time.perf_counter()
        with self._signals(), self.watchdog:
            for step, (batch, waited) in enumerate(_timed(loader), first_step + 1):
                began = time.perf_counter()
                batch, drawn = self._drawn(step, batch)
                self.watchdog.at(step, "agreeing on the batch")
                part = agree(self.engine, self.objective, batch)
                self._count_bad(part, max_bad)
                learned = self._has_examples(step, part)
                row: Row = {**part.numbers}
                for _ in range(self.passes if learned else 0):
                    row = self.train_step(step, part)
                row |= drawn
                if learned:
                    busy = time.perf_counter() - began
                    row |= self.pace.numbers(part.micro_batches, row, busy, waited)
                row |= self._left(step, time.perf_counter() - start, first_step)
                self._after(step, row, learned=learned)
                self.last = step
                if "eval" in row and self.checkpoints.is_over(step):
                    name, best = self.stage.name, self.stage.best
                    LOGGER.info("stage %s: over after step %d, no better %s", name, step, best)
                    break
                self.watchdog.at(step + 1, "waiting for data")

    @property
    def passes(self) -> int:
        """Updates a step: several where a rollout says so."""
        return 1 if self.rollouts is None else self.rollouts.settings.passes

    def _drawn(self, step: int, batch: StepBatch) -> tuple[StepBatch, Row]:
        """The batch with the model's own answers, where the stage has it answer."""
        if self.rollouts is None:
            return batch, {}
        self.watchdog.at(step, "drawing answers")
        batch, numbers = self.rollouts.of(step, batch)
        return batch, {"rollout": numbers}

    def train_step(self, step: int, part: Agreed) -> Row:
        """One update. Raises DataError, before the update, when the loss is not finite."""
        engine = self.engine
        rates = set_rates(engine.optimizer, self.stage.schedule.factor(step - 1, self.stage.steps))
        tally = self._add_gradients(step, part)
        self.watchdog.at(step, "adding up gradients")
        engine.exchange()
        found, notes, weights = self._over_ranks(step, tally.read())
        self.watchdog.at(step, "update")
        norm, norms = engine.update()
        self._check_norm(step, norm)
        self.progress.tokens_seen += part.tokens
        return {
            "loss": self.objective.total(found, part.counts),
            "losses": {name: found[name] / max(1, part.counts[name]) for name in found},
            **({"notes": notes} if notes else {}),
            "grad_norm": norm if math.isfinite(norm) else None,  # fp16 left this step out
            "grad_norms": norms,
            "supervised_tokens": part.tokens,
            "tokens_seen": self.progress.tokens_seen,
            **part.numbers,
            "lr": rates,
            "gate": weights,
        }

    def _add_gradients(self, step: int, part: Agreed) -> Tally:
        """Forward and backward of every micro-batch; nothing here waits for the device.

        A loss that is not finite is found when the tally is read: every rank goes on until then,
        so that none waits for ever.
        """
        engine, tally = self.engine, Tally()
        with self.pace.watching():
            said = partial(self.watchdog.at, step)
            for number, micro in coming(self.reference, engine, part.micro_batches, said):
                terms = engine.forward(micro, self.objective)
                loss = self.objective.total(terms.losses, part.counts)
                self.watchdog.at(step, f"backward of micro-batch {number}")
                engine.backward(loss, last=number == len(part.micro_batches))
                tally.add(micro.sample_ids, terms, loss)
        return tally

    def _after(self, step: int, row: Row, *, learned: bool) -> None:
        """Evaluate, log, save, and stop if a signal asked for it.

        What was evaluated is always logged; a step that learned nothing has no other row.
        """
        last = step == self.stage.steps
        self.watchdog.at(step, "evaluating")
        if self.average is not None and learned:
            self.average.update()
        metrics = self._evaluated(step, last=last)
        if metrics:
            row["eval"] = metrics
            self.engine.module.train()
        for callback in self.callbacks if learned or metrics or "rollout" in row else ():
            callback.log({"stage": self.stage.name, "step": step, **row})
        self.watchdog.at(step, "saving")
        save = partial(self.checkpoints.save_step, self.engine, self.callbacks)
        # One that could not be written ends the run now: saving again says why.
        stopping = self.engine.agreed(self.stop_asked or self.checkpoints.failed)
        if stopping or (step % self.stage.save_every == 0 and not last):
            save(step, progress=self.progress)
        if stopping:
            self.checkpoints.wait()
            raise Stopped(step)

    def _evaluated(self, step: int, *, last: bool) -> dict[str, float]:
        """The metrics of what is due; of all, where the stage is over with this step."""
        metrics: dict[str, float] = {}
        with self.averaged():
            due = {callback: callback.evaluate(step, last=last) for callback in self.callbacks}
            for found in due.values():
                metrics |= found
            offer = partial(self.checkpoints.offer, self.engine, step,
                            tokens_seen=self.progress.tokens_seen)  # fmt: skip
            offer(metrics)
            if metrics and not last and self.checkpoints.is_over(step):
                for callback in (each for each, found in due.items() if not found):
                    found = callback.evaluate(step, last=True)
                    offer(found)
                    metrics |= found
        return metrics

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """The model has the running average of its weights, if the stage keeps one."""
        return contextlib.nullcontext() if self.average is None else self.average.in_place()

    def _over_ranks(
        self, step: int, sums: Sums
    ) -> tuple[dict[str, float], dict[str, float], Gates]:
        """Losses added up over ranks, means of notes, and each modality's mean gate by expert.

        Raises DataError on all ranks when a loss of one is not finite.
        """
        found = sums.over_ranks(self.engine, self.objective)
        if found.broken:
            raise DataError(
                f"stage {self.stage.name}, step {step}",
                f"the loss is not finite; samples {', '.join(found.broken)}",
                expected="a finite loss; weights were not updated",
                fix="lower the learning rate or look at these samples",
            )
        means = {
            name: {expert: weight / sum(row.values()) for expert, weight in row.items()}
            for name, row in sorted(found.gates.items())
        }
        return found.losses, found.noted(), means

    def _left(self, step: int, spent: float, first: int) -> Row:
        steps = self.stage.steps
        left = spent / (step - first) * (steps - step)
        return {"steps": steps, "seconds": spent, "seconds_left": left}

    def _count_bad(self, part: Agreed, limit: float) -> None:
        for name, reason in part.skipped if self.engine.is_main else ():
            LOGGER.warning("bad sample skipped: %s: %s", name, reason)
        count = self.progress
        count.bad_samples += len(part.skipped)
        count.samples_seen += int(part.numbers["examples"]) + len(part.skipped)
        few = min(FEW, self.stage.steps * self.stage.batch_size)
        if count.bad_samples > limit * max(count.samples_seen, few):
            raise DataError(
                f"stage {self.stage.name}",
                f"{count.bad_samples} of {count.samples_seen} samples are bad",
                expected=f"at most {limit:.1%}",
                fix="mend or remove them",
            )

    def _has_examples(self, step: int, part: Agreed) -> bool:
        """Whether there is anything to learn from: a step may have bad samples only."""
        if part.active:
            return True
        where = f"stage {self.stage.name}, step {step}"
        if any(part.counts.values()):
            LOGGER.warning("%s: all rewards of each group are equal; no update", where)
            return False
        if self.rollouts is not None and part.numbers["examples"]:
            LOGGER.warning("%s: no answer could be rewarded; no update", where)
            return False
        if part.numbers["examples"]:
            raise DataError(
                where,
                "examples, but nothing in them that a loss of this stage looks at",
                expected="supervised tokens, or items of another loss",
                fix="look at the stage's sources, instructions and losses",
            )
        LOGGER.warning("%s: no sample of it could be used; no update", where)
        return False

    def _check_norm(self, step: int, norm: float) -> None:
        """Stop at a gradient that is not finite, unless the loss scale may be why."""
        if not math.isfinite(norm) and not self.engine.scale.may_shrink:
            raise DataError(
                f"stage {self.stage.name}, step {step}",
                f"the gradient is not finite ({norm}), though the loss is",
                expected="a finite one; nothing is saved of this step",
                fix="lower the learning rate, or compute in fp32",
            )

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
