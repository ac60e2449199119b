"""c_expr_db: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, table


def make(root: Path, kit: Kit) -> Made:
    from c_expr_db import BEGIN, COMPOUNDS, END

    def marked(begin: str, end: str, name: str) -> list[str]:
        return [f"00:00:0{begin}", f"00:00:0{end}", *("1" if c == name else "" for c in COMPOUNDS)]

    path, name = root / "annotation/01.csv", "Sadly Angry"
    first, second = marked("0.000", "0.080", name), marked("0.100", "0.180", name)
    table(path, [BEGIN, END, *COMPOUNDS], first, second, marked("0.120", "0.200", "Other"))
    kit.put(root / "01.mp4")
    return Made([str(root)], path, 3)
