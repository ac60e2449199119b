"""`affect-mllm predict`: what a trained checkpoint says about one clip, photo, sound or text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affect_mllm.log import working
from affect_mllm.tools.options import Plugins
from affect_mllm.types import ConfigError, is_encodable

if TYPE_CHECKING:
    from affect_mllm.tools.pipeline import Pipeline

DEFAULT = "outputs/demo/train/instruct/final"
OTHERS = ("clip", "checkpoint", "subtitle", "modalities", "gate", "warnings")


def predict_command(
    clip: Annotated[
        Path | None, typer.Argument(help="video, photo or sound; none: text only")
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(help="folder of a finished checkpoint, or its repository on the Hub")
    ] = DEFAULT,
    subtitle: Annotated[str | None, typer.Option(help="what is said, or `auto` (Whisper)")] = None,
    question: Annotated[str | None, typer.Option(help="ask this instead of the usual ones")] = None,
    plugins: Plugins = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Emotion, description, the modalities used and the gate weights.

    It is how a person appears in the clip. In the EU, inferring emotions at
    work or in education is forbidden, and people have to be told elsewhere.
    """
    _check(clip, subtitle, question)
    with working(f"loading {checkpoint}"):
        from affect_mllm.tools.pipeline import load

        model = load(checkpoint, plugins=plugins or ())
    with working("looking and asking"):
        result = predict(model, clip, subtitle=subtitle, question=question)
    if as_json:
        print(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        _show(result)


def predict(
    model: Pipeline, clip: str | Path | None, *, subtitle: str | None, question: str | None = None
) -> dict[str, Any]:
    """What a loaded checkpoint answers about `clip`, from the modalities that are there.

    Without a question it is asked the usual ones. Raises ConfigError or DataError; what is merely
    missing is in `warnings`.
    """
    _check(clip, subtitle, question)
    from affect_mllm.tools.pipeline import LONGEST

    asked = model.usual() if question is None else {"answer": (question, LONGEST)}
    if not asked:
        raise ConfigError(
            "--question", "none, and the checkpoint knows no usual one", fix="give --question TEXT"
        )
    seen = model.look([clip], [subtitle])
    answers = {
        name: model.answers(seen, words, max_new_tokens=tokens)[0]
        for name, (words, tokens) in asked.items()
    }
    last = [*answers.values()][-1]
    return {
        "clip": None if clip is None else str(clip),
        "checkpoint": model.name,
        **{_key(name): answer.text for name, answer in answers.items()},
        "subtitle": last.subtitle,
        "modalities": list(last.modalities),
        "gate": last.gate,
        "warnings": list(last.warnings),
    }


def _key(question: str) -> str:
    """What an answer is called in the result, which has keys of its own."""
    return f"{question}_" if question in OTHERS else question


def _check(clip: str | Path | None, subtitle: str | None, question: str | None) -> None:
    """ConfigError for wrong use, before anything is loaded."""
    if clip is None and not subtitle:
        raise ConfigError("predict", "neither a clip nor a subtitle", expected="at least one")
    for name, text in (("--subtitle", subtitle), ("--question", question)):
        if not is_encodable(text or ""):
            raise ConfigError(name, repr(text), expected="text in UTF-8")


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    titles = {"label": "emotion", "open_vocabulary": "open vocabulary", "describe": "description"}
    answers = [key for key in result if key not in OTHERS]
    for key in (*answers, "subtitle"):
        if result[key]:
            console.print(f"{titles.get(key, key):>16}  {result[key]}")
    console.print(f"{'from':>16}  {', '.join(result['modalities'])}")
    for modality, weights in result["gate"].items():
        shares = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
        console.print(f"{'gate, ' + modality:>16}  {shares}")
    for warning in result["warnings"]:
        console.print(f"{'warning':>16}  {warning}")
