"""`affect-mllm import`: a checkpoint of another project as one of ours, nothing in it executed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

# Whose checkpoint → the module whose `found(path, told)` says what is in it.
KINDS = {
    "affectgpt": "affect_mllm.tools.importers.affectgpt",
    "emotion_llama": "affect_mllm.tools.importers.emotion_llama",
    "minigpt_v2": "affect_mllm.tools.importers.minigpt_v2",
    "emotion_qwen": "affect_mllm.tools.importers.emotion_qwen",
}

# An option of some kinds alone → those.
ONLY_OF = {
    "--heads": ("affectgpt",),
    "--query-tokens": ("affectgpt",),
    "--adapter": ("emotion_qwen",),
}


def import_command(
    kind: Annotated[str, typer.Argument(help=f"Whose checkpoint it is: {', '.join(KINDS)}.")],
    checkpoint: Annotated[Path, typer.Argument(help="The .pth file; of emotion_qwen the folder.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value of the model, such as model.encoders.audio.model=DIR."),
    ] = None,
    *,
    llm: Annotated[
        str, typer.Option(help="The base LLM, of emotion_qwen the base VLM: a folder or a Hub id.")
    ],
    out: Annotated[Path, typer.Option(help="The checkpoint folder to write.")],
    heads: Annotated[
        int | None, typer.Option(min=1, help="Attention heads of AffectGPT's Q-Formers; 12.")
    ] = None,
    query_tokens: Annotated[
        list[str] | None,
        typer.Option(
            help="Of affectgpt: video=N, audio=N, multi=N or image=N, where the file does not say."
        ),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="THEIRS=OURS: how names that begin so begin here."),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Leave out the tensors whose names begin so.")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="Of emotion_qwen: the folder of a LoRA trained on it.")
    ] = None,
) -> None:
    """Write a checkpoint folder with the trained weights of another project's file."""
    from affect_mllm.tools.importers.imported import Told, write
    from affect_mllm.types import ConfigError

    if kind not in KINDS:
        raise ConfigError("import", repr(kind), expected=", ".join(KINDS))
    if out.exists():
        raise ConfigError("--out", f"{out} exists", fix="name a new folder")
    given = {"--heads": heads, "--query-tokens": query_tokens, "--adapter": adapter}
    _check_of_kind(kind, [option for option, value in given.items() if value])
    told = Told(heads or Told.heads, query_tokens or (), map_ or (), drop or (), adapter)
    found = importlib.import_module(KINDS[kind]).found(checkpoint, told)
    lines = write(found, out, changes=[f"{found.base}={llm}", *(overrides or [])])
    sys.stdout.write("\n".join([*lines, str(out), ""]))


def _check_of_kind(kind: str, given: Iterable[str]) -> None:
    """ConfigError for a given option that is of other kinds alone."""
    from affect_mllm.types import ConfigError

    for option in given:
        kinds = ONLY_OF[option]
        if kind not in kinds:
            expected = f"it only with {', '.join(kinds)}"
            raise ConfigError(option, f"with {kind}", expected=expected, fix="leave it out")
