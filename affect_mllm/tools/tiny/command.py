"""`affect-mllm tiny`: an experiment to try within a minute, without anybody's weights or data."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def tiny_command(
    folder: Annotated[Path, typer.Argument(help="where weights, clips and a YAML are written")],
    experiment: Annotated[str, typer.Option(help="an experiment of conf/experiment")] = "demo",
) -> None:
    """Any experiment with tiny random weights and 14 clips, and the commands that run it."""
    print("\n".join(tiny(folder, experiment)))


def tiny(folder: Path, experiment: str) -> list[str]:
    """Write the experiment below `folder`; the lines that say what is there and what to type.

    Weights and clips that are there already are used again. Raises ConfigError for an unknown
    experiment, CheckpointError for a model whose architecture its name does not tell.
    """
    from transformers.utils import logging

    from affect_mllm.tools.tiny.clips import write_corpus
    from affect_mllm.tools.tiny.experiment import tiny_experiment, write_experiment

    logging.disable_progress_bar()
    root = folder.resolve()
    corpus, conf, name = root / "corpus", root / "conf", f"tiny_{experiment}"
    run_dir = root / name
    manifest = corpus / "manifest.jsonl"
    cfg, made = tiny_experiment(experiment, root / "weights", manifest=manifest, run_dir=run_dir)
    if not manifest.is_file():
        write_corpus(corpus)
    yaml = conf / "experiment" / f"{name}.yaml"
    write_experiment(experiment, {"name": name, **made.changes}, yaml)
    final = run_dir / list(cfg.stages)[-1] / "final"
    return [
        f"{yaml}: {experiment} with random weights; its answers mean nothing",
        _line("affect-mllm", "train", f"experiment={name}", f"hydra.searchpath=[{conf}]"),
        _line(
            *("affect-mllm", "eval", f"checkpoint={final}", "benchmark=own_clips"),
            *(f"manifest={manifest}", f"run_dir={root / 'eval'}", "subsets=[all]"),
        ),
        _line("affect-mllm", "predict", str(corpus / "clips/c10.mp4"), "--checkpoint", str(final)),
    ]


def _line(*words: str) -> str:
    return "  " + shlex.join(words)
