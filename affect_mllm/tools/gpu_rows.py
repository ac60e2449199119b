"""What runs a row of `gpu_matrix`: our trainer against a plain loop over all ranks' batches."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch

from affect_mllm.data.features import Gather
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.tensor_file import Writes
from affect_mllm.tools.gpu_matrix import Row
from affect_mllm.tools.trial import STEPS, TRAINABLE, Taken, Trial
from affect_mllm.tools.trial_models import PLAIN, Parts, Size
from affect_mllm.train.ahead import check_quantized
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.plan.speed import Speed, liger_lacks
from affect_mllm.train.plan.trainable import Group
from affect_mllm.train.step.trainer import Trainer
from affect_mllm.train.watch.benchmarks import Benchmarks
from affect_mllm.types import ConfigError

SMALL = Size()
LLM = {"llm": Group(r"llm\.net\..*", 1e-4)}
CONNECTORS = {"compressors": Group(r"compressors\..*", 1e-3)}
GROUPS = {
    "full": LLM,
    "both": {**CONNECTORS, **LLM},
    "tower": {"tower": Group(r"encoders\..*", 1e-4), **TRAINABLE},
}
TOLERANCE = {"loss": 2e-3, "norm": 0.02, "exact": 1e-3}
ASKED, WORDS = 99, 4  # the batch that is asked about, and how many tokens an answer has


class Answer(NamedTuple):
    """Whether it held (None: it could not be tried), what was found, and if that is a refusal."""

    held: bool | None
    found: str
    refused: bool = False


class Heard(NamedTuple):
    """What a model says between two steps: token ids of its answers, and a loss."""

    ids: list[list[int]]
    loss: float


def run(row: Row, size: Size = SMALL) -> Answer:
    """The row in this process and those that were started with it."""
    launch = Launch(strategy=row.strategy, precision="bf16", persistence_threshold=0)  # type: ignore[arg-type]
    parts = _parts(row)
    try:
        check_quantized({"llm": {"quantize": parts.quantize}}, launch)
    except ConfigError as refusal:
        return Answer(True, str(refusal), refused=True)
    lacking = _lacks(row)
    if lacking:
        return Answer(None, lacking)
    speed = Speed(
        _checkpointed(row),
        compile=row.speed == "compiled",
        liger="always" if row.speed == "liger" else "never",
    )
    accelerator = launch.accelerator()
    settings: dict[str, Any] = {"trainable": GROUPS.get(row.trains, TRAINABLE), "speed": speed}
    with made(size, parts, **settings) as trial:
        return _compared(row, trial, launch, accelerator)


def exact(strategy: Any, size: Size = SMALL) -> Answer:
    """A strategy in float32, LoRA and connectors, to a thousandth.

    Losses and gradient norms: AdamW would hide a gradient that is too large everywhere.
    """
    lacking = _lacks(Row(strategy, "lora"))
    if lacking:
        return Answer(None, lacking)
    launch = Launch(strategy=strategy, precision="fp32", persistence_threshold=0)
    accelerator = launch.accelerator()
    with made(size) as trial:
        trainer = trial.trainer(launch, accelerator=accelerator)
        taken = [trial.step(trainer, step) for step in range(1, STEPS + 1)]
        expected = trial.plain(trainer.engine.world, trainer.engine.device)
        world = trainer.engine.world
    worst = max(_off(taken, expected))
    found = f"{world} ranks, losses {short(taken)}, losses and gradient norms off by {worst:.1e}"
    return Answer(worst < TOLERANCE["exact"], found)


@contextlib.contextmanager
def shared() -> Iterator[Path]:
    """A new folder that all ranks see, rank 0's, until all of them are done with it."""
    import torch.distributed as dist

    with tempfile.TemporaryDirectory() as own:
        found = [own]
        if dist.is_initialized():
            dist.broadcast_object_list(found, 0)
        yield Path(found[0])
        if dist.is_initialized():
            dist.barrier()


@contextlib.contextmanager
def made(size: Size, parts: Parts = PLAIN, **settings: Any) -> Iterator[Trial]:
    """A trial whose weights rank 0 writes."""
    import torch.distributed as dist

    with shared() as folder:
        first = not dist.is_initialized() or dist.get_rank() == 0
        trial = Trial(folder, size, parts, **settings) if first else None
        if dist.is_initialized():
            dist.barrier()
        yield trial or Trial(folder, size, parts, **settings)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Kernels without which two runs differ anyway."""
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA begins
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)


def short(steps: Sequence[Taken]) -> str:
    """Their losses."""
    return " ".join(f"{step.loss:.4f}" for step in steps)


def _parts(row: Row) -> Parts:
    reads: Any = row.model if row.model != "llama" else "states"
    if row.trains == "tower" and reads == "states":
        reads = "frames"
    few: Any = row.trains if row.trains in ("nf4", "int8") else "none"
    return Parts(reads, "bfloat16", few, lora=row.trains not in ("full", "both"))


def _checkpointed(row: Row) -> Sequence[Any]:
    if row.speed != "checkpointed":
        return ()
    return ("llm", "encoders") if row.trains == "tower" else ("llm",)


def _lacks(row: Row) -> str | None:
    """What keeps the row from being tried here, or None."""
    packages = {"zero2": "deepspeed", "zero3": "deepspeed", "nf4": "bitsandbytes"}
    packages["int8"] = "bitsandbytes"
    for part in (row.strategy, row.trains):
        if part in packages and find_spec(packages[part]) is None:
            return f"the package {packages[part]} is not installed"
    return liger_lacks(row.model) if row.speed == "liger" else None


def _compared(row: Row, trial: Trial, launch: Launch, accelerator: Any) -> Answer:
    """Three steps of the trainer against the plain loop's, and what the row does besides."""
    resumes = row.then == "resume"
    with deterministic() if resumes else contextlib.nullcontext():
        trainer = trial.trainer(launch, accelerator=accelerator)
        engine = trainer.engine
        taken, heard, weights = [trial.step(trainer, 1)], None, {}
        if row.then == "ask":
            heard = _asked(trial, trainer)
        with shared() as folder:
            if resumes:
                weights = _saved(trainer, folder)
            taken += [trial.step(trainer, step) for step in range(2, STEPS + 1)]
            engine.close()
            again = _resumed(trial, launch, accelerator, weights, folder) if resumes else []
    said: list[Heard] = []
    expected = trial.plain(
        engine.world,
        engine.device,
        engine.dtype,
        lambda step, model: said.append(_twin(trial, model)) if heard and step == 1 else None,
    )
    loss, norm = _off(taken, expected)
    held = loss < TOLERANCE["loss"] and norm < TOLERANCE["norm"]
    found = [f"{engine.world} ranks, losses {short(taken)}, off by {loss:.1e}, norms by {norm:.1e}"]
    if resumes:
        held = held and again == taken[1:]
        found.append(f"resumed: {short(again)}")
    if heard:
        off = abs(heard.loss / said[0].loss - 1)
        held = held and bool(heard.ids) and off < TOLERANCE["loss"]
        found.append(f"asked: {_same(heard, said[0])}, a loss off by {off:.1e}")
    return Answer(held, "\n".join(found))


def _off(taken: Sequence[Taken], expected: Sequence[Taken]) -> tuple[float, float]:
    """The largest relative error of losses, and of gradient norms."""
    pairs = list(zip(taken, expected, strict=True))
    loss = max(abs(one.loss / two.loss - 1) for one, two in pairs)
    return loss, max(abs(one.grad_norm / two.grad_norm - 1) for one, two in pairs)


def _saved(trainer: Trainer, folder: Path) -> dict[str, torch.Tensor]:
    """The weights that train; the engine's state is in `folder`."""
    engine = trainer.engine
    trained = [name for name, p in engine.module.named_parameters() if p.requires_grad]
    weights = {
        name: tensor.cpu().clone() for name, tensor in engine.each(trained)
    }  # training goes on
    engine.save(folder, Writes())
    engine.wait()
    return weights


def _resumed(
    trial: Trial, launch: Launch, accelerator: Any, weights: dict[str, torch.Tensor], folder: Path
) -> list[Taken]:
    """The steps after the first, by a new trainer."""
    trainer = trial.trainer(launch, accelerator=accelerator, weights=weights)
    trainer.engine.load(folder)
    taken = [trial.step(trainer, step) for step in range(2, STEPS + 1)]
    trainer.engine.close()
    return taken


class _Benchmark:
    """Every rank is asked the same, as one benchmark while training."""

    name = "trial"

    def __init__(self, trial: Trial) -> None:
        self.trial, self.heard = trial, Heard([], 0.0)

    def prepare(self, model: AffectMLLM, *, rank: int, world: int, gather: Gather) -> None:
        """Nothing is cached."""

    def ask(self, model: AffectMLLM, rank: int, world: int) -> list[dict[str, Any]]:
        """This rank's answers."""
        return [_heard(self.trial, model)._asdict()]

    def metrics(self, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
        """None; what was heard is kept, without ids where ranks differ."""
        same = all(row["ids"] == rows[0]["ids"] for row in rows)
        self.heard = Heard(rows[0]["ids"] if same else [], rows[0]["loss"])
        return {}


def _asked(trial: Trial, trainer: Trainer) -> Heard:
    """What all ranks say, asked as benchmarks are."""
    benchmark = _Benchmark(trial)
    Benchmarks(trainer.engine, [benchmark], every=1).evaluate(1, last=False)
    trainer.engine.module.train()
    return benchmark.heard


@torch.no_grad()
def _heard(trial: Trial, model: AffectMLLM) -> Heard:
    """Greedy answers and a loss, in evaluation mode and in the precision of an evaluation."""
    training, device = model.training, model.llm.device
    model.eval()
    batch = trial.batch(ASKED, in_a_row=1).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=model.llm.is_bf16):
        prompt, _ = model.prompt(batch)
        exactly: dict[str, Any] = {"max_new_tokens": WORDS, "min_new_tokens": WORDS}
        ids = model.llm.generate(prompt, do_sample=False, pad_token_id=0, **exactly)
        loss = model(batch, trial.objective).losses["lm"]
    model.train(training)
    return Heard(ids.tolist(), float(loss) / trial.objective.counts(batch)["lm"])


def _twin(trial: Trial, model: AffectMLLM) -> Heard:
    """What another model of the same weights says: the one that trains is left alone."""
    twin = trial.model().to(model.llm.device)
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    for name, parameter in twin.named_parameters():
        if name in weights:
            parameter.data = weights[name].clone()
    return _heard(trial, twin)


def _same(one: Heard, two: Heard) -> str:
    if not one.ids:
        return "other answers on other ranks"
    pairs = [
        pair for rows in zip(one.ids, two.ids, strict=True) for pair in zip(*rows, strict=True)
    ]
    return f"{sum(a == b for a, b in pairs)} of {len(pairs)} tokens are the plain loop's"
