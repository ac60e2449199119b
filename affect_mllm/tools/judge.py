"""`affect-mllm judge` and `affect-mllm extract`: a language model reads a file of answers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affect_mllm.tools import options

if TYPE_CHECKING:
    from affect_mllm.eval.generate.judge import Rubric
    from affect_mllm.eval.replies import KeptReplies

Predictions = Annotated[
    Path, typer.Option(help="id, response: JSON lines, CSV, TSV, Parquet or XLSX.")
]
Manifest = Annotated[Path, typer.Option(help="The manifest with the reference labels.")]
Url = Annotated[
    str | None,
    typer.Option(help="An OpenAI-compatible server (http://…/v1); none: --model is local."),
]
Model = Annotated[str, typer.Option(help="The server's model name, or a folder, asset or Hub id.")]


def judge_command(
    rubric: Annotated[str, typer.Option(help="A name of conf/judge, or a YAML file.")],
    predictions: Predictions,
    *,
    manifest: Manifest,
    model: Model,
    url: Url = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default: beside the answers.")] = None,
    form: options.PredictionsForm = "ours",
    id_key: options.IdKey = None,
    response_key: options.ResponseKey = None,
    id_template: options.IdTemplate = None,
) -> None:
    """Ask a judge model about every answer; `score --verdicts` makes means of what it says."""
    from affect_mllm.data import manifest as manifests
    from affect_mllm.eval.generate import judge
    from affect_mllm.eval.prediction_forms import form_of
    from affect_mllm.eval.predictions import read_predictions

    rule = load_rubric(rubric)
    told = form_of(form, id_key=id_key, response_key=response_key, id_template=id_template)
    rows = read_predictions(predictions, form=told)
    asked = {row.id for row in rows}
    samples = [sample for sample in manifests.read(manifest, media=False) if sample.id in asked]
    unknown = asked - {sample.id for sample in samples}
    _refuse_unknown(predictions, unknown)
    folder = out or predictions.parent
    stem = f"{predictions.name.split('.')[0]}.{rule.name}"
    chat = _chat(url, model, folder / f"{stem}.replies.jsonl")
    verdicts = judge.judge(rule, chat, samples, rows)
    judge.write_verdicts(folder / f"{stem}.verdicts.jsonl", rule, chat.identity(), verdicts)
    status = Counter(verdict.status for verdict in verdicts)
    said = ", ".join(f"{name} {status[name]}" for name in judge.STATUSES if status[name])
    typer.echo(f"{folder / stem}.verdicts.jsonl: {said}")


def extract_command(
    predictions: Predictions,
    out: Annotated[Path, typer.Option(help="The predictions file to write, with labels.")],
    *,
    model: Model,
    url: Url = None,
    labels: Annotated[
        str, typer.Option(help="A closed task's labels, comma-separated; none: open vocabulary.")
    ] = "",
    form: options.PredictionsForm = "ours",
    id_key: options.IdKey = None,
    response_key: options.ResponseKey = None,
    id_template: options.IdTemplate = None,
) -> None:
    """Read labels from free answers by a language model; `score` takes the file that is written."""
    from affect_mllm.eval.files import write_text_atomic
    from affect_mllm.eval.generate.llm_extract import LLMExtractor
    from affect_mllm.eval.prediction_forms import form_of
    from affect_mllm.eval.predictions import read_predictions

    told = form_of(form, id_key=id_key, response_key=response_key, id_template=id_template)
    rows = read_predictions(predictions, form=told)
    chat = _chat(url, model, out.with_name(f"{out.name.split('.')[0]}.replies.jsonl"))
    wanted = tuple(each.strip() for each in labels.split(",") if each.strip())
    found = list(LLMExtractor(chat, wanted).rows(rows))
    write_text_atomic(out, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in found))
    bad = sum(row["extract_status"] != "ok" for row in found)
    typer.echo(f"{out}: {len(found)} answers, {bad} without a readable reply")


def load_rubric(name: str) -> Rubric:
    """The rubric of `conf/judge/NAME.yaml` or of a YAML file of one's own. Raises ConfigError."""
    from omegaconf import DictConfig, OmegaConf

    from affect_mllm import config
    from affect_mllm.eval.generate.judge import Rubric
    from affect_mllm.types import ConfigError

    folder = config.conf_dir() / "judge"
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(each.stem for each in folder.glob("*.yaml"))
        raise ConfigError("--rubric", name, expected=f"one of {known}, or a YAML file")
    node = OmegaConf.load(path)
    if not isinstance(node, DictConfig):
        raise ConfigError(str(path), "no mapping", expected="the options of a Rubric")
    return config.build(node, kind=Rubric, where=str(path))


def _chat(url: str | None, model: str, replies: Path) -> KeptReplies:
    from affect_mllm.eval.chat import Endpoint, LocalChat
    from affect_mllm.eval.replies import KeptReplies

    return KeptReplies(LocalChat(model) if url is None else Endpoint(url, model), replies)


def _refuse_unknown(path: Path, unknown: set[str]) -> None:
    from affect_mllm.types import DataError

    if unknown:
        raise DataError(
            str(path), f"ids {sorted(unknown)[:10]}", expected="ids that the manifest has"
        )
