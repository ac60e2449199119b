"""`affect-mllm export`: a checkpoint as a folder that transformers' Auto classes load."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affect_mllm.log import working
from affect_mllm.tools.options import Plugins
from affect_mllm.types import CheckpointError, ConfigError

if TYPE_CHECKING:
    from affect_mllm.models.mllm import AffectMLLM
    from affect_mllm.tools.hf.proof import Proof


def export_command(
    checkpoint: Annotated[Path, typer.Argument(help="folder of a finished checkpoint")],
    *,
    out: Annotated[Path, typer.Option(help="folder to write; must not exist yet")],
    results: Annotated[
        Path | None, typer.Option(help="results.json with this checkpoint's scores, for the card")
    ] = None,
    plugins: Plugins = None,
) -> None:
    """Merge LoRA, write weights, configuration, processor and model card, and prove the logits."""
    with working(f"merging {checkpoint}, writing it and comparing answers"):
        proof = export(checkpoint, out, results=results, plugins=plugins or ())
    typer.echo(f"{out}: {proof}")


def export(
    checkpoint: Path, out: Path, *, results: Path | None = None, plugins: Sequence[str] = ()
) -> Proof:
    """Write `out` and return what proves it.

    The folder gets its name only after its model, loaded anew by transformers, has the merged
    checkpoint's weights bit for bit, and its logits where answers to probes of every modality are
    said. Those of the checkpoint in float32 are what counts: a checkpoint with a bfloat16 LLM is
    rounded itself, and merging rounds once more.
    Raises ConfigError where `out` exists or the scores are another checkpoint's, CheckpointError
    where something cannot be exported or the logits differ.
    """
    if out.exists():
        raise ConfigError("--out", f"{out} exists", fix="name a folder that does not exist")
    from affect_mllm.tools.hf.export import check_plain, greedy, loaded, merge, save
    from affect_mllm.tools.hf.proof import answer_logits, compared, probes
    from affect_mllm.tools.model_card import card

    text = card(checkpoint, results)  # first: it reads little and may refuse
    model, data = loaded(checkpoint, plugins)
    check_plain(model)
    batch = probes(model, data)
    own = answer_logits(model, batch)
    whole = loaded(checkpoint, plugins)[0].float()
    exact = answer_logits(whole, batch)
    merge(model, whole)
    merged = answer_logits(whole, batch)
    del whole  # one model less in memory
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        save(model, greedy(model, data), checkpoint, unfinished, plugins)
        (unfinished / "README.md").write_text(text)
        exported = answer_logits(_reloaded(unfinished, model, checkpoint, plugins), batch)
        proof = compared(exported, own, exact, merged)
        if not proof.holds:
            raise _differs(checkpoint, f"the exported model's {proof}")
        os.replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return proof


def _reloaded(
    folder: Path, written: AffectMLLM, checkpoint: Path, plugins: Sequence[str]
) -> AffectMLLM:
    """What transformers makes of the folder. CheckpointError unless it has the same weights."""
    from transformers import AutoModelForImageTextToText

    from affect_mllm.tools.hf.proof import differing_weights

    model: Any = AutoModelForImageTextToText.from_pretrained(folder, plugins=plugins)
    if others := differing_weights(written, model.affect):
        raise _differs(checkpoint, f"{len(others)} weights come back otherwise: {others[:5]}")
    return model.eval().affect


def _differs(checkpoint: Path, got: str) -> CheckpointError:
    return CheckpointError(
        str(checkpoint),
        got,
        expected="the checkpoint's weights and answers, within the rounding of its own precision",
        fix="nothing was written; report this with the checkpoint's config.yaml",
    )
