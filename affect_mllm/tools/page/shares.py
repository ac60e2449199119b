"""How likely each label is, as a numbered list of bars."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from markupsafe import Markup

from affect_mllm.tools.page.wheel import place_of


def shares_list(
    shares: Mapping[str, float],
    *,
    before: Mapping[str, float] | None = None,
    named: Collection[str] = (),
) -> Markup:
    """A bar for each label in its order; a mark where it was in `before`, with all modalities.

    A label that the answer says is marked as such, one without a place on the wheel, too.
    """
    rows = Markup("").join(
        _row(label, share, None if before is None else before.get(label), said=label in named)
        for label, share in shares.items()
    )
    return Markup('<ol class="shares">{}</ol>').format(rows)


def _row(label: str, share: float, before: float | None, *, said: bool) -> Markup:
    mark = text = ""
    if before is not None:
        mark = Markup('<i class="before" style="left:{:.2f}%"></i>').format(100 * before)
        text = f"{before:.1%} → "
    notes = [*(["answered"] if said else []), *([] if place_of(label) else ["not on the wheel"])]
    note = Markup(" <em>{}</em>").format(", ".join(notes)) if notes else ""
    return Markup(
        '<li data-label="{}" data-share="{:.6f}"><span class="name">{}{}</span>'
        '<span class="track"><b style="width:{:.2f}%"></b>{}</span>'
        '<span class="value">{}{:.1%}</span></li>'
    ).format(label, share, label, note, 100 * share, mark, text, share)
