"""`affect-mllm cache`: the states of frozen encoders for every clip, before training or apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affect_mllm import config
from affect_mllm.log import LOGGER
from affect_mllm.types import ConfigError, DataError, ExitCode, Sample

if TYPE_CHECKING:
    from affect_mllm.data.features import Features
    from affect_mllm.data.settings import DataSettings

TOLERANCE = 0.02  # of a modality's largest value: another batch or device rounds differently
MANIFESTS = (".jsonl", ".parquet")


def cache_command(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[MANIFEST...] experiment=NAME [key=value...]",
            help="Manifests, all splits (none: what the experiment trains on); the experiment.",
        ),
    ],
    verify: Annotated[
        int, typer.Option(min=0, help="Compute this many cached clips again and compare.")
    ] = 0,
) -> None:
    """Compute what the feature cache lacks. Start it with torchrun to share the clips out."""
    from affect_mllm.data.features import ensure
    from affect_mllm.eval.ranks import ranks
    from affect_mllm.models.clip_encoder import ClipEncoder

    manifests = [Path(each) for each in what if _is_manifest(each)]
    cfg = _configuration([each for each in what if not _is_manifest(each)])
    data: DataSettings = config.build(cfg.data, plugins=cfg.plugins)
    if data.cache_dir is None:
        raise ConfigError("data.cache_dir", "null", fix="name the folder: data.cache_dir=DIR")
    group = ranks()
    rows = _rows(manifests, cfg)
    encoder = ClipEncoder.of_config(cfg.model, group.device, plugins=cfg.plugins)
    features = data.features(encoder.transforms(), encoder.fingerprint, limits=encoder.limits())
    encoder.hold(bf16=encoder.fast)
    mine = rows[group.index :: group.world]
    ensure(features, mine, encoder, max_bad_fraction=data.max_bad_fraction, gather=group.gather)
    if verify:
        differing = group.gather(list(_differing(features, mine, encoder, count=verify)))
        _judge([each for part in differing for each in part])
    group.meet()
    if group.is_main:
        _say(Path(data.cache_dir), len(rows))


def _is_manifest(given: str) -> bool:
    """Whether it is a manifest and not key=value: a folder may be named seed=1."""
    return "=" not in given or (Path(given).suffix in MANIFESTS and Path(given).is_file())


def _configuration(overrides: Sequence[str]) -> Any:
    if not any(each.startswith("experiment=") for each in overrides):
        raise ConfigError(
            "affect-mllm cache", "no experiment", expected="experiment=NAME: encoders and reader"
        )
    return config.checked(config.compose("train", overrides))


def _rows(manifests: Sequence[Path], cfg: Any) -> Sequence[Sample]:
    """The rows of the manifests, or else of all stages' sources, each once."""
    from affect_mllm.data import manifest
    from affect_mllm.data.rows import JoinedRows

    unknown = [str(path) for path in manifests if path.suffix not in MANIFESTS]
    if unknown:
        raise ConfigError(
            "affect-mllm cache", f"{', '.join(unknown)}", expected="manifests and key=value"
        )
    if manifests:
        return JoinedRows([manifest.read(path) for path in manifests])
    places = dict.fromkeys(_sources(cfg))
    return JoinedRows([manifest.read(Path(path), split=split) for path, split in places])


def _sources(cfg: Any) -> Iterator[tuple[str, str]]:
    """(manifest, split) of what the stages train on and watch."""
    for node in cfg.stages.values():
        stage = config.build(node, plugins=cfg.plugins)
        watched = stage.validation.sources if stage.validation is not None else {}
        for source in (*stage.sources.values(), *watched.values()):
            yield source.manifest, source.split


def _differing(
    features: Features, rows: Sequence[Sample], encode: Any, *, count: int
) -> Iterator[str]:
    """Of `count` cached rows, drawn by a fixed seed, those whose states come out otherwise now."""
    import numpy as np

    assert features.cache is not None
    order = np.random.default_rng(0).permutation(len(rows))
    checked = 0
    for number in order.tolist():
        sample = rows[number]
        if checked == count:
            break
        if not sample.has_media or features.lacks(sample):
            continue
        checked += 1
        kept, now = features.clip(sample).arrays, features.compute(sample, encode).arrays
        for name in sorted({*kept, *now}):
            reason = _difference(kept.get(name), now.get(name))
            if reason is not None:
                yield f"{sample.id}, {name}: {reason}"
    LOGGER.info("features: %d cached clips computed again", checked)


def _difference(kept: Any, now: Any) -> str | None:
    import numpy as np

    if kept is None or now is None:
        return f"{'not ' if kept is None else ''}in the cache, {'not ' if now is None else ''}now"
    if kept.shape != now.shape:
        return f"shape {kept.shape} in the cache, {now.shape} now"
    most = float(np.abs(kept.astype(np.float32) - now).max())
    scale = float(np.abs(now).max())
    return f"differs by {most:.3g} of {scale:.3g}" if not most <= TOLERANCE * scale else None


def _judge(differing: Sequence[str]) -> None:
    if differing:
        raise DataError(
            "feature cache",
            f"{len(differing)} states are not what is computed now\n  "
            + "\n  ".join(differing[:20]),
            expected=f"equal within {TOLERANCE:.0%} of the largest value",
            fix="delete the cache, and find what changed that its keys do not know",
        )


def _say(root: Path, rows: int) -> None:
    from affect_mllm.data.shards import sizes

    shards = sizes(root / "shards")
    size = sum(each for _, each, _ in shards) / 1e9
    typer.echo(f"{root}: {rows} rows looked at; {len(shards)} shards, {size:.2f} GB")
    raise typer.Exit(int(ExitCode.DONE))
