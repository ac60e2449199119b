"""`affect-mllm export`: a checkpoint as a folder that transformers' Auto classes load."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from affect_mllm.types import CheckpointError, ConfigError

EXACT = 1e-4  # how far logits may differ in float32, as a share of the largest
ROUNDED = 2.0  # how many times the checkpoint's own distance from float32, where it is rounded


def export_command(
    checkpoint: Annotated[Path, typer.Argument(help="folder of a finished checkpoint")],
    *,
    out: Annotated[Path, typer.Option(help="folder to write; must not exist yet")],
    results: Annotated[
        Path | None, typer.Option(help="results.json with this checkpoint's scores, for the card")
    ] = None,
) -> None:
    """Merge LoRA, write weights, configuration, processor and model card, and prove the logits."""
    typer.echo(f"{out}: {export(checkpoint, out, results=results)}")


@dataclass(frozen=True)
class Proof:
    """Largest differences of logits, as a share of the largest logit.

    `exported` of the exported model from the checkpoint in float32, `own` of the checkpoint in
    its own precision from the same.
    """

    exported: float
    own: float

    @property
    def holds(self) -> bool:
        """Whether the exported model is as near as rounding its merged weights allows."""
        return self.exported <= max(EXACT, ROUNDED * self.own)

    def __str__(self) -> str:
        own = f" (the checkpoint's own precision: {self.own:.1e})" if self.own else ""
        return f"logits differ by at most {self.exported:.1e} of the largest{own}"


def export(checkpoint: Path, out: Path, *, results: Path | None = None) -> Proof:
    """Write `out` and return what proves it.

    The folder gets its name only after its model, loaded anew by transformers, gave the
    checkpoint's logits on probes of every modality. Those of the checkpoint in float32 are what
    counts: a checkpoint with a bfloat16 LLM is rounded itself, and merging rounds once more.
    Raises ConfigError where `out` exists or the scores are another checkpoint's, CheckpointError
    where something cannot be exported or the logits differ.
    """
    if out.exists():
        raise ConfigError("--out", f"{out} exists", fix="name a folder that does not exist")
    from affect_mllm.tools.hf.export import exact_logits, loaded, merged, probe_logits, probes, save
    from affect_mllm.tools.model_card import card

    text = card(checkpoint, results)  # first: it reads little and may refuse
    model, data = loaded(checkpoint)
    batch = probes(model, data)
    exact, own = exact_logits(checkpoint, batch), probe_logits(model, batch)
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        save(merged(model), checkpoint, unfinished)
        (unfinished / "README.md").write_text(text)
        proof = Proof(_distance(_reloaded(unfinished, batch), exact), _distance(own, exact))
        if not proof.holds:
            raise CheckpointError(
                str(checkpoint),
                f"the exported model's {proof}",
                expected=f"at most {EXACT:g}, or {ROUNDED:g} times the checkpoint's own",
                fix="nothing was written; report this with the checkpoint's config.yaml",
            )
        os.replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return proof


def _reloaded(folder: Path, batch: Any) -> Any:
    from transformers import AutoModelForImageTextToText

    from affect_mllm.tools.hf.export import probe_logits

    model: Any = AutoModelForImageTextToText.from_pretrained(folder)
    return probe_logits(model.eval().affect, batch)


def _distance(logits: Any, exact: Any) -> float:
    return float((logits - exact).abs().max() / exact.abs().max())
