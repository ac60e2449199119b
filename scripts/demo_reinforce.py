"""Rewards against more of the same lessons, from the demo's checkpoint, over several seeds.

    python scripts/demo_reinforce.py CHECKPOINT [--out DIR] [--seeds "1 2 3"]
        [--manifest FILE] [--every N] [--train KEY=VALUE]… [--ask KEY=VALUE]…

Of each seed: a cold start, rewards from where it ended, and a control from the same place, which
has as many steps of the cold start's lessons as take the CPU seconds of the rewards' steps, drawing
included. Before and after each, every third row of `val` is asked for lists of emotions, plainly
and behind reasons. Seeds run at once, each in a process of its own whose words are in
DIR/seedN/said.txt. What was reached, what it cost and some of the answers drawn are printed and
stand in DIR/table.md. A second call re-uses what is finished. `--train` and `--ask` are given to
training and evaluation.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from threading import Thread
from typing import Annotated, Any

import typer

from affect_mllm.data import manifest as manifests
from affect_mllm.data.media_root import root_of
from affect_mllm.eval.main import main as evaluate
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.compare import difference
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.score.breakdowns import groups_of
from affect_mllm.eval.score.runs import Run, runs_in, value_of
from affect_mllm.models.checkpoint import load_config
from affect_mllm.tools import train as training
from affect_mllm.types import AffectError, ExitCode

STAGES = ("cold_start", "reinforce", "control")
BENCHMARKS = ("synthetic_open", "synthetic_reasoned")
SHOWN = ("ew_f1", "m_avg")
SPLIT = "val"
BEFORE = "before"
SAID = "said.txt"
TAIL = 12  # lines of it that are shown where something failed
AT_ONCE = 128  # all rows that are asked are one batch
BROKEN = """a part's process was killed: each holds a model; is there memory for all?
  to mend it: give the same command with --seeds 1, then 2, then 3, then all of them;
  what is finished is re-used"""
AGAINST = (BEFORE, "cold_start", "control")  # what `reinforce` is compared with
ENDS = 3  # first and last steps whose numbers are averaged
DRAWN = ("reward", "wheel", "format", "wheel/labels", "tokens_an_answer", "ended", "dead_groups")

Row = dict[str, Any]
Asked = dict[str, list[dict[str, Run]]]  # by checkpoint each seed's runs by benchmark


def main(
    checkpoint: Path,
    out: Path = Path("outputs/demo_reinforce"),
    seeds: Annotated[str, typer.Option(help="Numbers, with blanks between them.")] = "1 2 3",
    manifest: Annotated[
        Path | None, typer.Option(help="What is asked.", show_default="the checkpoint's")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Of its rows of `val` each so-manieth.")] = 3,
    train: Annotated[list[str] | None, typer.Option(help="An override for training.")] = None,
    ask: Annotated[list[str] | None, typer.Option(help="An override for evaluation.")] = None,
) -> None:
    """Train, ask and compare."""
    folders = [out / f"seed{int(seed)}" for seed in seeds.split()]
    try:
        more = [f"manifest={held_out(out, checkpoint, manifest, every)}", *(ask or [])]
        jobs = {out / BEFORE: partial(asked, out / BEFORE, checkpoint, more)}
        jobs |= {each: partial(one_seed, each, checkpoint, train or [], more) for each in folders}
        at_once(jobs, len(folders))
        text = "\n".join(page(out, folders)) + "\n"
    except AffectError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(int(error.exit_code)) from None
    (out / "table.md").write_text(text, encoding="utf-8")
    typer.echo(text)


def held_out(out: Path, checkpoint: Path, given: Path | None, every: int) -> Path:
    """A manifest of those rows, in `out`."""
    path = given or Path(load_config(checkpoint).data.manifest)
    rows = sorted(manifests.read(path, split=SPLIT), key=lambda sample: sample.id)
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "held_out.jsonl"
    manifests.write(rows[::every], kept, media_root=root_of(path))
    return kept


def at_once(jobs: Mapping[Path, Callable[[], None]], processes: int) -> None:
    """Do all, so many at a time, each with its share of the cores; Exit where one has failed."""
    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
    codes = []
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(logged, folder, do): folder for folder, do in jobs.items()}
        typer.echo(f"{len(jobs)} parts, {processes} at once: tail -f {[*jobs][-1] / SAID}")
        for each in as_completed(running):
            folder = running[each]
            try:
                code = each.result()
            except BrokenProcessPool:  # of all parts, the one that was killed and those that ran
                typer.echo(BROKEN, err=True)
                raise typer.Exit(int(ExitCode.FAILED)) from None
            codes.append(code)
            typer.echo(f"{folder}: {'done' if code == ExitCode.DONE else f'ended with {code}'}")
            if code != ExitCode.DONE:
                lines = (folder / SAID).read_text(encoding="utf-8").splitlines()
                typer.echo("\n".join(lines[-TAIL:]), err=True)
    if any(codes):
        raise typer.Exit(max(codes))


def logged(folder: Path, do: Callable[[], None]) -> int:
    """In a process of its own: do it, all words into a file of that folder; its exit code."""
    Thread(target=_ended_with_parent, daemon=True).start()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / SAID).open("a", encoding="utf-8") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    try:
        do()
    except AffectError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    except typer.Exit as ended:
        return ended.exit_code
    finally:
        sys.stdout.flush()
    return int(ExitCode.DONE)


def _ended_with_parent() -> None:
    """Stops this process as a user would when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def one_seed(folder: Path, checkpoint: Path, train: Sequence[str], ask: Sequence[str]) -> None:
    """Train a seed's stages and ask each one's end."""
    trained(folder / "train", checkpoint, train)
    for stage in STAGES:
        asked(folder / stage, folder / "train" / stage / "final", ask)


def trained(folder: Path, checkpoint: Path, more: Sequence[str]) -> None:
    """A seed's three stages, the last as long as the second one costs."""
    seed = folder.parent.name.removeprefix("seed")
    given = [
        "experiment=demo_reinforce",
        f"seed={seed}",
        f"run_dir={folder}",
        f"stages.cold_start.init_from={checkpoint}",
        *more,
    ]
    for stage in STAGES:
        steps = [f"stages.control.steps={equal(folder)}"] if stage == "control" else []
        done(training.main([*given, *steps, f"stage={stage}"]))


def asked(folder: Path, checkpoint: Path, more: Sequence[str]) -> None:
    """A checkpoint's answers to both questions, in that folder."""
    for benchmark in BENCHMARKS:
        given = [f"benchmark={benchmark}", f"checkpoint={checkpoint}", f"run_dir={folder}"]
        done(evaluate([*given, "workers=0", f"batch_size={AT_ONCE}", *more]))


def done(code: ExitCode) -> None:
    """Ends this process where something was stopped."""
    if code != ExitCode.DONE:
        raise typer.Exit(int(code))


def rows(folder: Path, stage: str, file: str = "metrics.jsonl") -> list[Row]:
    """A stage's log."""
    return [json.loads(line) for line in (folder / stage / file).read_text().splitlines()]


def equal(folder: Path) -> int:
    """How many steps of the cold start cost what the rewards did, what comes once left out."""
    cold, rewards = (each_step(rows(folder, stage)) for stage in STAGES[:2])
    return max(1, round(rewards * rows(folder, "reinforce")[-1]["step"] / cold))


def each_step(log: Sequence[Row]) -> float:
    """CPU seconds of a step between the ends of the first and the last; of a single one, all."""
    first, last = log[0], log[-1]
    if last["step"] == first["step"]:
        return first["cpu_seconds"]
    return (last["cpu_seconds"] - first["cpu_seconds"]) / (last["step"] - first["step"])


def page(out: Path, folders: Sequence[Path]) -> Iterator[str]:
    """What was reached, what it cost, how the draws changed, and some of them, as Markdown."""
    before = by_benchmark(out / BEFORE)
    found: Asked = {BEFORE: [before for _ in folders]}
    found |= {stage: [by_benchmark(each / stage) for each in folders] for stage in STAGES}
    names = [folder.name.replace("seed", "seed ") for folder in folders]
    for benchmark in BENCHMARKS:
        for metric in SHOWN:
            yield from [*compared(found, benchmark, metric, names), ""]
    yield from [*costs(folders, names), ""]
    yield from [*draws(folders, names), ""]
    yield from examples(folders[0])


def by_benchmark(folder: Path) -> dict[str, Run]:
    """What was asked there."""
    return {run.task.name: run for run in runs_in(folder, folder.name)}


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    for cells in (head, ["---"] * len(head), *body):
        yield f"| {' | '.join(cells)} |"


def compared(found: Asked, benchmark: str, metric: str, names: Sequence[str]) -> Iterator[str]:
    """Values by seed, and of all seeds together; how far rewards are ahead, paired by clip."""
    parts = [[number] for number in range(len(names))]
    parts += [[*range(len(names))]] if len(names) > 1 else []
    body = []
    for name, part in zip([*names, "together"], parts, strict=False):
        reads = {
            where: joined([runs[number][benchmark].read for number in part])
            for where, runs in found.items()
        }
        task = found[BEFORE][0][benchmark].task
        groups = groups_of(task, reads[BEFORE])
        ahead = [
            difference(reads["reinforce"], reads[other], METRICS[metric], groups)
            for other in AGAINST
        ]
        values = [worth(metric, read) for read in reads.values()]
        body.append([name, *values, *(f"{d.value:+.3f} [{d.ci_low:+.3f}, {d.ci_high:+.3f}]"
                                      for d in ahead)])  # fmt: skip
    ahead = [f"rewards − {each.replace('_', ' ')}" for each in AGAINST]
    yield from table(
        [f"{benchmark}, {metric}", BEFORE, "cold start", "rewards", "control", *ahead], body
    )


def joined(reads: Sequence[Read]) -> Read:
    """Several seeds' answers to the same rows; a clip's stay in one group."""
    return replace(
        reads[0],
        samples=[each for read in reads for each in read.samples],
        predictions=[each for read in reads for each in read.predictions],
        truth=[each for read in reads for each in read.truth],
        answers=[each for read in reads for each in read.answers],
        status=[each for read in reads for each in read.status],
    )


def worth(metric: str, read: Read) -> str:
    """The value, and how many answers could not be read."""
    value = value_of(metric, read)
    unread = f" ({read.unparsed} unread)" if read.unparsed else ""
    return ("none" if value is None else f"{value:.3f}") + unread


def costs(folders: Sequence[Path], names: Sequence[str]) -> Iterator[str]:
    """Each stage's steps and their CPU seconds, what comes once left out."""
    body = []
    for name, folder in zip(names, folders, strict=True):
        logs = [rows(folder / "train", stage) for stage in STAGES]
        spent = [(log[-1]["step"], each_step(log)) for log in logs]
        body.append([name, *(f"{steps} in {steps * each:.0f}" for steps, each in spent)])
    yield from table(["steps, CPU s", "cold start", "rewards", "control"], body)


def draws(folders: Sequence[Path], names: Sequence[str]) -> Iterator[str]:
    """What was drawn in the first and in the last steps; the first step's best constant answer."""
    body = []
    for name, folder in zip(names, folders, strict=True):
        every = [row for row in rows(folder / "train", "reinforce") if "rollout" in row]
        constant = every[0]["rollout"].get("wheel/constant")
        known = "–" if constant is None else f"{constant:.2f}"
        for when, part in (("first", every[:ENDS]), ("last", every[-ENDS:])):
            means = [fmean(row["rollout"][key] for row in part) for key in DRAWN]
            entropies = [row["notes"]["policy/entropy"] for row in part if "notes" in row]
            cells = [f"{mean:.2f}" for mean in (*means, *map(fmean, filter(None, [entropies])))]
            body.append([f"{name}, {when}", *cells, known])
    yield from table(["steps", *DRAWN, "entropy", "wheel/constant"], body)


def examples(folder: Path) -> Iterator[str]:
    """Of a seed's first and last step one group for each question: its best and worst answer."""
    every = rows(folder / "train", "reinforce", "rollouts-0.jsonl")
    for step in dict.fromkeys((every[0]["step"], every[-1]["step"])):
        groups = {row["question"]: row for row in every if row["step"] == step}
        for question, row in groups.items():
            yield f"Step {step}, {row['id']}, *{question}*"
            ranked = sorted(row["answers"], key=lambda each: each["reward"])
            for each in (ranked[-1], ranked[0]):
                yield f"- {each['reward']:.2f}: `{each['text']}`"


if __name__ == "__main__":
    typer.run(main)
