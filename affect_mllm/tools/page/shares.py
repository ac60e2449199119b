"""How likely each label is, as a list of bars with the marks that the wheel has."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from markupsafe import Markup

from affect_mllm.tools.page.wheel import Mark, marks, place_of


def shares_list(
    shares: Mapping[str, float],
    *,
    before: Mapping[str, float] | None = None,
    named: Collection[str] = (),
) -> Markup:
    """A bar for each label in its order, a tick where it was in `before`, with all modalities.

    Then what only the answer says (`named`). What it says, and what has no place on the wheel, is
    marked as such.
    """
    rows = Markup("").join(
        _row(label, mark, (before or {}).get(label)) for label, mark in marks(shares, named).items()
    )
    return Markup('<ul class="shares">{}</ul>').format(rows)


def _row(label: str, mark: Mark, before: float | None) -> Markup:
    notes = ["answered"] * mark.is_said + ["not on the wheel"] * (place_of(label) is None)
    note = Markup(" <em>{}</em>").format(", ".join(notes)) if notes else ""
    name = Markup('<span class="name"><strong>{}</strong> {}{}</span>').format(
        mark.text, label, note
    )
    if mark.share is None:
        return Markup("<li>{}</li>").format(name)
    return Markup('<li data-label="{}" data-share="{:.6f}">{}{}</li>').format(
        label, mark.share, name, _bar(mark.share, before)
    )


def _bar(share: float, before: float | None) -> Markup:
    """The share in numbers and as a bar, with what it was before."""
    tick = text = ""
    if before is not None:
        tick = Markup('<i class="before" style="left:{:.2f}%"></i>').format(100 * before)
        text = f"{before:.1%} → "
    return Markup(
        '<span class="value">{}{:.1%}</span>'
        '<span class="track"><b style="width:{:.2f}%"></b>{}</span>'
    ).format(text, share, 100 * share, tick)
