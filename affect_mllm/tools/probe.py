"""`affect-mllm probe`: what frozen encoders say of a label, by layer, before any training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from affect_mllm.log import working
from affect_mllm.tools.options import Plugins

if TYPE_CHECKING:
    from affect_mllm.eval.probe.fits import Probed
    from affect_mllm.eval.probe.states import Part
    from affect_mllm.types import Sample

FEW_GROUPS = 12  # are answered for one at a time; more in five parts


def probe_command(
    manifest: Annotated[Path, typer.Argument(help="The rows; all splits unless --test is given.")],
    *,
    label: Annotated[str, typer.Option(help="Which label: classes or numbers.")] = "emotion",
    audio: Annotated[
        list[str] | None,
        typer.Option(help="An encoder of conf/encoder, or its YAML, for sound; again for each."),
    ] = None,
    vision: Annotated[
        list[str] | None,
        typer.Option(help="One for faces, frames and pictures; again for each."),
    ] = None,
    words: Annotated[bool, typer.Option(help="Subtitles too, as TF-IDF of words.")] = True,
    layers: Annotated[str, typer.Option(help="0,3,6", show_default="all")] = "",
    pool: Annotated[str, typer.Option(help="Of mean, mean+std, max; comma-separated.")] = "mean",
    look_at: Annotated[str, typer.Option(help="face or frame.")] = "face",
    by: Annotated[
        str, typer.Option(help="speaker, group or id: what no fold cuts.", show_default="first had")
    ] = "",
    folds: Annotated[
        int | None,
        typer.Option(
            min=0, help="Parts; 0: one group at a time.", show_default=f"5, 0 up to {FEW_GROUPS}"
        ),
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="Fit on the other splits, answer for this one.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for probe.json, probe.html and the best ones' predictions."),
    ] = None,
    plugins: Plugins = None,
) -> None:
    """Linear and k-NN probes: layers x pooling x modality, across speakers, with intervals."""
    from affect_mllm.eval.probe.fits import asked, every_probe
    from affect_mllm.eval.probe.states import words_of

    samples = _rows(manifest, label)
    kind, groups = _groups(samples, by)
    parts = folds if folds is not None else 0 if len(set(groups)) <= FEW_GROUPS else 5
    what = asked(samples, label, groups=groups, folds=parts, test=test)
    pools = _pools(pool)
    chosen = [each.strip() for each in layers.split(",") if each.strip()]
    named = [("audio", name) for name in audio or []] + [("vision", name) for name in vision or []]
    sources = [
        _parts(
            name, modality, samples, look_at=look_at, layers=chosen, pools=pools, plugins=plugins
        )
        for modality, name in named
    ]
    if words and (texts := words_of(samples)) is not None:
        sources.append([texts])
    if not sources:
        _refuse_nothing()
    with working("probing"):
        found, best_ones = every_probe(what, sources)
    told = {
        "manifest": str(manifest), "label": label, "kind": what.kind, "across": kind,
        "groups": len(set(groups)), "folds": 1 if test else parts or len(set(groups)),
        "test": test, "rows": [each.row() for each in found],
    }  # fmt: skip
    for line in lines(told):
        typer.echo(line)
    if out is not None:
        _write(out, told, samples, best_ones)


def lines(told: dict[str, Any]) -> Iterator[str]:
    """The table: a line for each probe, its first metric with its interval, then the others."""
    names = list(told["rows"][0]["metrics"])
    how = f"{told['test']} after the others" if told["test"] else f"{told['folds']} folds"
    yield f"{told['label']}, across {told['groups']} {told['across']}s, {how}"
    yield (
        f"{'':34}{'layer':>6} {'probe':7}{names[0]:>9} {'95 %':15}"
        + "".join(f"{name:>13}" for name in names[1:])
        + f"{'n':>7}"
    )
    for row in told["rows"]:
        first, *rest = (row["metrics"][name] for name in names)
        ends = "" if first["ci_low"] is None else f"{first['ci_low']:.3f}-{first['ci_high']:.3f}"
        pool = f", {row['pool']}" if row["pool"] else ""
        yield (
            f"{(row['source'] + pool)[:33]:34}{row['layer']:>6} {row['probe']:7}"
            f"{_number(first['value']):>9} {ends:15}"
            + "".join(f"{_number(each['value']):>13}" for each in rest)
            + f"{row['n']:>7}"
        )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _rows(manifest: Path, label: str) -> list[Sample]:
    from affect_mllm.data import manifest as manifests
    from affect_mllm.types import DataError

    rows = [row for row in manifests.read(manifest) if label in row.labels and not row.clips]
    if not rows:
        raise DataError(
            str(manifest),
            f"no row of one clip with labels.{label}",
            fix="name another one: --label",
        )
    return sorted(rows, key=lambda row: row.id)


def _groups(samples: Sequence[Sample], by: str) -> tuple[str, list[str]]:
    """What folds do not cut: the name of the field, and each row's."""
    from affect_mllm.types import ConfigError

    fields = ("speaker", "group", "id")
    if by not in ("", *fields):
        raise ConfigError("--by", by, expected=", ".join(fields))
    for name in [by] if by else fields:
        found = [getattr(sample, name) for sample in samples]
        if all(found):
            return name, [str(each) for each in found]
    raise ConfigError("--by", f"{by}: some rows have none", expected="a field of all rows")


def _pools(given: str) -> list[Any]:
    from affect_mllm.eval.probe.states import POOLS
    from affect_mllm.types import ConfigError

    found = [each.strip() for each in given.split(",") if each.strip()]
    if not found or not set(found) <= set(POOLS):
        raise ConfigError("--pool", given, expected=f"some of {', '.join(POOLS)}")
    return found


def _parts(
    name: str,
    modality: str,
    samples: Sequence[Sample],
    *,
    look_at: str,
    layers: Sequence[str],
    pools: Sequence[Any],
    plugins: Sequence[str] | None,
) -> list[Part]:
    """The encoder of that name, with the reader of conf/data/clips."""
    from omegaconf import OmegaConf

    from affect_mllm import config
    from affect_mllm.data.reader import Reader
    from affect_mllm.eval.probe.states import HEARD, SEEN, parts_of
    from affect_mllm.models.encoders.base import Encoder
    from affect_mllm.types import ConfigError

    if look_at not in ("face", "frame"):
        raise ConfigError("--look-at", look_at, expected="face or frame")
    own = plugins or []
    of_file = name.endswith((".yaml", ".yml"))
    chosen = [] if of_file else [f"+encoder@probed={name}"]
    node = config.compose("eval", [*chosen, "+data@read=clips", f"+read.reader.visual={look_at}"])
    given: Any = OmegaConf.load(name) if of_file else node.probed
    encoder: Any = config.build(given, kind=Encoder, plugins=own)
    reader: Any = config.build(node.read.reader, kind=Reader, plugins=own)
    modalities = HEARD if modality == "audio" else SEEN
    return parts_of(
        Path(name).stem,
        encoder,
        samples,
        modalities=modalities,
        reader=reader,
        layers=layers,
        pools=pools,
    )


def _write(
    out: Path, told: dict[str, Any], samples: Sequence[Sample], best_ones: dict[str, Probed]
) -> None:
    from affect_mllm.eval.files import rounded, write_json_atomic, write_text_atomic
    from affect_mllm.eval.report.probes import page

    write_json_atomic(out / "probe.json", rounded(told))
    write_text_atomic(out / "probe.html", page(told))
    for source, made in best_ones.items():
        rows = [
            json.dumps(
                {"id": samples[row].id, "response": str(answer), "checkpoint": f"probe-{source}"},
                ensure_ascii=False,
            )
            for row, answer in zip(made.rows, made.answers, strict=True)
        ]
        write_text_atomic(out / f"{source}.predictions.jsonl", "\n".join(rows) + "\n")
    typer.echo(out, err=True)


def _refuse_nothing() -> NoReturn:
    from affect_mllm.types import ConfigError

    raise ConfigError(
        "affect-mllm probe", "nothing to probe", fix="--audio whisper_base, --vision clip_large, …"
    )
