"""Rows to vectors: every layer of a frozen encoder, pooled over a clip; and words, counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from affect_mllm.data.features import cores_of_rank, one_thread_each
from affect_mllm.data.reader import VISUAL, Reader
from affect_mllm.eval.chat import each
from affect_mllm.log import LOGGER
from affect_mllm.models.clip_encoder import ClipEncoder
from affect_mllm.models.encoders.base import Encoder
from affect_mllm.types import ConfigError, DataError, Sample

Pool = Literal["mean", "mean+std", "max"]
Vectors = NDArray[np.float32]
HEARD = ("audio",)
SEEN = tuple(sorted(VISUAL))
POOLS: dict[Pool, Callable[[Vectors], Vectors]] = {
    "mean": lambda states: states.mean(0),
    "mean+std": lambda states: np.concatenate([states.mean(0), states.std(0)]),
    "max": lambda states: states.max(0),
}


@dataclass(frozen=True)
class Part:
    """Vectors `[rows, D]`, or texts `[rows]`, of the rows that have them: `rows` are places in the
    list of samples, ascending.

    `source` is an encoder's name or "words", `layer` and `pool` are "" where there is none.
    """

    source: str
    layer: str
    pool: str
    rows: NDArray[np.int64]
    vectors: NDArray[Any]


def parts_of(
    name: str,
    encoder: Encoder,
    samples: Sequence[Sample],
    *,
    modalities: Sequence[str],
    reader: Reader,
    layers: Sequence[str] = (),
    pools: Sequence[Pool] = ("mean",),
    max_bad_fraction: float = 0.01,
) -> list[Part]:
    """A part for each layer (those of `layers`, or all) and pool, of the rows that have any of
    `modalities`; the first that the reader gives is read.

    Encoded in float32, one clip a core. A row that cannot be read is named and left out. Raises
    DataError where that are more than `max_bad_fraction` of the rows, or no row has the modality,
    and ConfigError for a layer that the encoder does not have.
    """
    widths = encoder.each_layer()
    wanted = list(layers) or list(widths)
    if unknown := [layer for layer in wanted if layer not in widths]:
        raise ConfigError(f"{name}, layers", f"{unknown}", expected=f"some of {list(widths)}")
    ends = np.cumsum(list(widths.values()))
    place = {
        layer: slice(int(end) - width, int(end))
        for (layer, width), end in zip(widths.items(), ends, strict=True)
    }
    clips = ClipEncoder({name: encoder}, dict.fromkeys(modalities, name), fast=False)
    transforms = clips.transforms()

    def one(sample: Sample) -> dict[tuple[str, Pool], Vectors] | DataError | None:
        try:
            arrays = reader.read(sample, transforms).arrays
            if not arrays:
                return None
            states = next(iter(clips(dict(list(arrays.items())[:1])).values()))
        except DataError as error:
            return error
        return {
            (layer, pool): POOLS[pool](states[:, place[layer]])
            for layer in wanted
            for pool in pools
        }

    with one_thread_each(), torch.inference_mode():
        found = each(one, samples, workers=cores_of_rank(), title=name)
    bad = [row for row in found if isinstance(row, DataError)]
    for error in bad:
        LOGGER.warning("left out: %s", error)
    rows = [number for number, row in enumerate(found) if isinstance(row, dict)]
    if len(bad) > max_bad_fraction * len(samples) or not rows:
        raise DataError(
            name,
            f"{len(bad)} of {len(samples)} rows cannot be read, {len(rows)} can",
            expected=f"rows with {' or '.join(modalities)}, at most {max_bad_fraction:.0%} bad",
        )
    kept: list[Mapping[tuple[str, Pool], Vectors]] = [row for row in found if isinstance(row, dict)]
    return [
        Part(name, layer, pool, np.array(rows), np.stack([row[layer, pool] for row in kept]))
        for layer in wanted
        for pool in pools
    ]


def words_of(samples: Sequence[Sample]) -> Part | None:
    """The rows that have words, and their words; None where there are none."""
    rows = [number for number, sample in enumerate(samples) if sample.subtitle]
    texts = np.array([samples[number].subtitle for number in rows], dtype=object)
    return Part("words", "", "", np.array(rows), texts) if rows else None


def joined(parts: Sequence[Part]) -> tuple[NDArray[np.int64], list[NDArray[Any]]]:
    """The rows that all parts have, and each one's vectors of them."""
    rows = parts[0].rows
    for part in parts[1:]:
        rows = np.intersect1d(rows, part.rows)
    return rows, [part.vectors[np.searchsorted(part.rows, rows)] for part in parts]
