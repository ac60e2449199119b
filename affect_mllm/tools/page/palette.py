"""Colours that colour-blind readers can tell apart, after Okabe and Ito (Color Universal Design).

No colour says anything alone: names, numbers and shapes stand beside it.
"""

from __future__ import annotations

# Plutchik's petals. Black of the published eight is a grey here, which a dark page shows, too.
PETALS = {
    "joy": "#f0e442",
    "trust": "#009e73",
    "fear": "#666666",
    "surprise": "#56b4e9",
    "sadness": "#0072b2",
    "disgust": "#cc79a7",
    "anger": "#d55e00",
    "anticipation": "#e69f00",
}
# Experts of a compressor by their order.
EXPERTS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#666666")


def of_expert(number: int) -> str:
    """Colour of a compressor's expert; the ninth begins anew."""
    return EXPERTS[number % len(EXPERTS)]
