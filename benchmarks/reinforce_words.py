"""Reinforcement against more of the same lessons, on the words of the synthetic corpus alone.

`python benchmarks/reinforce_words.py [--out DIR] [--seed N] [--start STEPS] [--steps STEPS]
[--control STEPS]`. SmolLM2-135M with new LoRA learns to list emotions from subtitles for a few
steps (the start); from there it goes on by rewards, or by more of the same lessons (the control).
No clip is rendered. Prints CPU seconds of each stage and, on the rows of `val`, greedy wheel F1
with paired intervals. `affect-mllm assets` fetches the weights.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).parents[1]
SIZES = {"train": 700, "val": 105}
STAGES = ("cold_start", "reinforce", "control")


def main(
    out: Path = Path("outputs/reinforce_words"),
    seed: int = 1,
    start: int = 12,
    steps: int = 32,
    control: int = 48,
    pairs: Annotated[bool, typer.Option(help="Compare at the end.")] = True,
) -> None:
    """Train the three stages, answer, compare."""
    manifest = out / "manifest.jsonl"
    if not manifest.is_file():
        write_rows(manifest)
    lengths = {"cold_start": start, "reinforce": steps, "control": control}
    run = out / f"seed{seed}"
    for stage in STAGES:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command("train.py", *overrides(manifest, run, seed, lengths), f"stage={stage}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{stage}: {lengths[stage]} steps, {spent:.0f} CPU s", flush=True)
        command(
            "eval.py",
            f"checkpoint={run / 'train' / stage / 'final'}",
            "benchmark=synthetic_open",
            f"manifest={manifest}",
            f"run_dir={run / 'eval' / stage}",
            "workers=0",
        )
    for stage in STAGES:
        (path,) = (run / "eval" / stage).rglob("results.json")
        print(stage, json.dumps(json.loads(path.read_text())["metrics"]), flush=True)
    if pairs:
        folders = [str(run / "eval" / stage) for stage in STAGES]
        subprocess.run([sys.executable, "-m", "affect_mllm.tools.app", "compare", *folders])


def overrides(manifest: Path, run: Path, seed: int, lengths: dict[str, int]) -> list[str]:
    """`demo_reinforce` on words, with short answers."""
    short = [
        change
        for stage in STAGES
        for change in (
            f"~stages.{stage}.sources.data.instructions.reasoned",
            f"stages.{stage}.steps={lengths[stage]}",
            f"stages.{stage}.save_every=1000",
        )
    ]
    return [
        "experiment=demo_reinforce",
        f"seed={seed}",
        f"run_dir={run / 'train'}",
        f"data.manifest={manifest}",
        f"data.cache_dir={manifest.parent / 'features'}",
        "stages.cold_start.init_from=previous",
        "stages.reinforce.rollout.max_new_tokens=12",
        "stages.reinforce.rollout.questions=[open_vocabulary]",
        "~stages.reinforce.rollout.rewards.format",
        "~stages.reinforce.losses.stay",
        *short,
    ]


def command(script: str, *arguments: str) -> None:
    """One of the project's own, in a process of its own."""
    subprocess.run([sys.executable, str(ROOT / script), *arguments], check=True, cwd=ROOT)


def write_rows(path: Path) -> None:
    """The corpus's rows without their media."""
    sys.path.insert(0, str(ROOT / "data_recipes"))
    from synthetic_parts import clip
    from synthetic_parts.design import plan

    path.parent.mkdir(parents=True, exist_ok=True)
    kept = ("id", "subtitle", "language", "group", "split", "labels", "source", "licence")
    rows = [clip.row(spec) for spec in plan({**dict.fromkeys(("test", "conflict"), 0), **SIZES}, 1)]
    lines = [json.dumps({key: row[key] for key in kept if key in row}) for row in rows]
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
