"""Gate weights: how much each expert of a hybrid compressor has of each modality's tokens."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from affect_mllm.tools.page.palette import of_expert

NONE = Markup('<p class="absent">This checkpoint has no gates, or saw no media.</p>')


def gate_bars(gate: Mapping[str, Mapping[str, float]]) -> Markup:
    """A bar a modality, divided among its experts, with the weights in numbers below it."""
    if not gate:
        return NONE
    rows = Markup("").join(_row(modality, weights) for modality, weights in gate.items())
    return Markup('<dl class="gates">{}</dl>').format(rows)


def _row(modality: str, weights: Mapping[str, float]) -> Markup:
    each = list(enumerate(weights.items()))
    parts = Markup("").join(
        Markup('<b style="width:{:.2f}%;background:{}"></b>').format(100 * weight, of_expert(at))
        for at, (_, weight) in each
    )
    keys = Markup("").join(
        Markup('<span><i style="background:{}"></i>{} {:.1%}</span>').format(
            of_expert(at), name, weight
        )
        for at, (name, weight) in each
    )
    return Markup(
        '<dt>{}</dt><dd><div class="parts">{}</div><div class="keys">{}</div></dd>'
    ).format(modality, parts, keys)
