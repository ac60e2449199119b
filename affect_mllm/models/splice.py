"""Put media tokens into the sequence: the only place where spans and embeddings meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from affect_mllm.models.indices import on_device
from affect_mllm.types import DataError, Span


def splice(
    embeddings: torch.Tensor,
    spans: Sequence[Span],
    tokens: Mapping[str, Mapping[int, torch.Tensor]],
) -> torch.Tensor:
    """`embeddings` `[R, L, H]` with the spans' positions replaced by their modality's tokens.

    `tokens[modality][example]` is `[K, H]`. Raises DataError as `pieces`.
    """
    if not (found := pieces(spans, tokens)):
        return embeddings
    rows, places = [], []
    for span, _ in found:
        rows += [span.row] * span.length
        places += range(span.start, span.start + span.length)
    index = on_device(rows, embeddings.device), on_device(places, embeddings.device)
    values = torch.cat([piece for _, piece in found])
    return embeddings.index_put(index, values.to(embeddings.dtype))


def pieces(
    spans: Sequence[Span], tokens: Mapping[str, Mapping[int, torch.Tensor]]
) -> list[tuple[Span, torch.Tensor]]:
    """The spans, row by row and from left to right, each with its part of an item's tokens.

    Raises DataError where a span has no tokens, tokens have no span, or their numbers differ:
    scattering anyway would corrupt silently.
    """
    room: dict[tuple[str, int], list[Span]] = {}
    for span in sorted(spans, key=lambda span: (span.row, span.start)):
        room.setdefault((span.modality, span.example), []).append(span)
    given = {(name, example) for name, items in tokens.items() for example in items}
    if set(room) != given:
        raise DataError(
            "splice",
            f"spans without tokens {sorted(set(room) - given)}, "
            f"tokens without a span {sorted(given - set(room))}",
            expected="one each",
        )
    found = []
    for (modality, example), members in room.items():
        item, lengths = tokens[modality][example], [span.length for span in members]
        if len(item) != sum(lengths):
            first = members[0]
            raise DataError(
                f"example {example}, {modality} at row {first.row}, token {first.start}",
                f"{sum(lengths)} placeholders, {len(item)} embeddings",
                expected="equal numbers",
            )
        found += zip(members, item.split(lengths), strict=True)
    return sorted(found, key=lambda pair: (pair[0].row, pair[0].start))
