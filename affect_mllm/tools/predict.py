"""`affect-mllm predict`: what a trained checkpoint says about one clip, photo, sound or text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from affect_mllm.data.reader import Clip, Transform
from affect_mllm.data.settings import DataSettings
from affect_mllm.data.template import Instruction
from affect_mllm.tools.options import Plugins
from affect_mllm.types import ConfigError, DataError, Sample, is_encodable

DEFAULT = Path("outputs/demo/train/instruct/final")
ASKED = {"label": 12, "open_vocabulary": 24, "describe": 96}  # instruction → new tokens at most


def predict_command(
    clip: Annotated[
        Path | None, typer.Argument(help="video, photo or sound; none: text only")
    ] = None,
    checkpoint: Annotated[Path, typer.Option(help="folder of a finished checkpoint")] = DEFAULT,
    subtitle: Annotated[str | None, typer.Option(help="what is said, or `auto` (Whisper)")] = None,
    question: Annotated[str | None, typer.Option(help="ask this instead of the usual ones")] = None,
    plugins: Plugins = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Emotion, description, the modalities used and the gate weights."""
    result = predict(clip, checkpoint, subtitle=subtitle, question=question, plugins=plugins or ())
    if as_json:
        print(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        _show(result)


@dataclass(frozen=True)
class Held:
    """A reader that has read its one row already, so that several questions decode it once."""

    clip: Clip

    def read(self, _sample: Sample, _transforms: Mapping[str, Transform]) -> Clip:
        """What was read."""
        return self.clip


def predict(
    clip: Path | None,
    checkpoint: Path,
    *,
    subtitle: str | None,
    question: str | None,
    plugins: Sequence[str] = (),
) -> dict[str, Any]:
    """The answers of `checkpoint` about `clip`, from the modalities that are there.

    Raises ConfigError, DataError or CheckpointError; what is merely missing is in `warnings`.
    """
    if clip is None and not subtitle:
        raise ConfigError("predict", "neither a clip nor a subtitle", expected="at least one")
    for name, text in (("--subtitle", subtitle), ("--question", question)):
        if not is_encodable(text or ""):
            raise ConfigError(name, repr(text), expected="text in UTF-8")
    sample = sample_of(clip)
    sample = replace(sample, subtitle=_subtitle(clip, subtitle))
    from affect_mllm.eval.generate.asking import Asker, Question
    from affect_mllm.eval.ranks import ranks
    from affect_mllm.models import checkpoint as store

    name = store.checkpoint_hash(checkpoint)  # before anything slow: is it there and whole?
    data = store.load_part(checkpoint, "data", DataSettings, plugins=plugins, cache_dir=None)
    model = store.load_model(checkpoint, plugins=plugins)
    model.to(ranks().device)
    model.clip_encoder().hold(bf16=model.llm.is_bf16)
    features = data.features(model.transforms(), {}, limits=model.limits())
    read = features.clip(sample)
    maker = data.maker(model.llm.tokenizer, model.span_lengths())
    answers: dict[str, str] = {}
    row: dict[str, Any] = {}
    for kind, asked, tokens in _questions(data, question):
        asker = Asker(model, maker, replace(features, reader=Held(read)), name, 1, tokens)
        row = next(asker.answer([sample], Question(asked)))
        if why := row.get("error") or row.get("unseen"):
            raise DataError(str(clip), why)
        answers[kind] = row["response"]
    return {
        "clip": None if clip is None else str(clip),
        "checkpoint": name,
        **answers,
        "subtitle": sample.subtitle,
        "modalities": row["modalities"],
        "gate": row["gate"],
        "warnings": [*read.warnings, *_silent(subtitle, sample)],
    }


def sample_of(clip: Path | None) -> Sample:
    """A row for a file of one's own; its kind is found by looking into it. Raises DataError."""
    if clip is None:
        return Sample("text", Path())
    from affect_mllm.media.video import probe

    kind = probe(clip).kind
    return Sample(clip.stem, clip.parent, {kind: clip.name})


def _subtitle(clip: Path | None, subtitle: str | None) -> str | None:
    if subtitle != "auto":
        return subtitle
    if clip is None:
        raise ConfigError("--subtitle", "auto, but there is no clip", expected="a clip with sound")
    from affect_mllm.config import weights_path
    from affect_mllm.media.audio import read_audio
    from affect_mllm.media.video import probe
    from affect_mllm.tools.transcribe import transcribe

    waveform = None if probe(clip).kind == "image" else read_audio(clip)
    if waveform is None:
        return None
    return transcribe(waveform, Path(weights_path("asset:whisper-base"))) or None


def _silent(asked: str | None, sample: Sample) -> list[str]:
    if asked == "auto" and not sample.subtitle:
        return [f"{sample.id}: no speech found; answered without words"]
    return []


def _questions(data: DataSettings, question: str | None) -> Iterator[tuple[str, str, int]]:
    if question is not None:
        yield "answer", question, max(ASKED.values())
        return
    usual = {name: data.instructions.get(name) for name in ASKED}
    known = {name: each for name, each in usual.items() if isinstance(each, Instruction)}
    if not known:
        raise ConfigError(
            "--question", "none, and the checkpoint knows no usual one", fix="give --question TEXT"
        )
    for name, instruction in known.items():
        yield name, instruction.plain_question(), ASKED[name]


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    titles = {
        "label": "emotion",
        "open_vocabulary": "open vocabulary",
        "describe": "description",
        "answer": "answer",
        "subtitle": "subtitle",
    }
    for key, title in titles.items():
        if result.get(key):
            console.print(f"{title:>16}  {result[key]}")
    console.print(f"{'from':>16}  {', '.join(result['modalities'])}")
    for modality, weights in result["gate"].items():
        shares = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
        console.print(f"{'gate, ' + modality:>16}  {shares}")
    for warning in result["warnings"]:
        console.print(f"{'warning':>16}  {warning}")
