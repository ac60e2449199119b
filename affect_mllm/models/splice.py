"""Put media tokens into the sequence: the only place where spans and embeddings meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from affect_mllm.types import DataError, Span


def splice(
    embeddings: torch.Tensor,
    spans: Sequence[Span],
    tokens: Mapping[str, Mapping[int, torch.Tensor]],
) -> torch.Tensor:
    """`embeddings` `[R, L, H]` with each span's positions replaced by its modality's tokens.

    `tokens[modality][example]` is `[K, H]`. Raises DataError where a span has no tokens, tokens
    have no span, or their numbers differ: scattering anyway would corrupt silently.
    """
    wanted = {(span.modality, span.example) for span in spans}
    given = {(name, example) for name, items in tokens.items() for example in items}
    if wanted != given:
        raise DataError(
            "splice",
            f"spans without tokens {sorted(wanted - given)}, "
            f"tokens without a span {sorted(given - wanted)}",
            expected="one each",
        )
    if not spans:
        return embeddings
    rows, places, values = [], [], []
    for span in spans:
        item = tokens[span.modality][span.example]
        if len(item) != span.length:
            raise DataError(
                f"example {span.example}, {span.modality} at row {span.row}, token {span.start}",
                f"{span.length} placeholders, {len(item)} embeddings",
                expected="equal numbers",
            )
        rows += [span.row] * span.length
        places += range(span.start, span.start + span.length)
        values.append(item)
    index = (
        torch.tensor(rows, device=embeddings.device),
        torch.tensor(places, device=embeddings.device),
    )
    return embeddings.index_put(index, torch.cat(values).to(embeddings.dtype))
