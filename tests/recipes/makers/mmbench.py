"""mmbench: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.recipes.embedded import OPTIONS, made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"question": "What is it?", "hint": "", "category": "identity", "split": "dev"}
    picture, texts = {"image": kit.picture(), "l2-category": "part"}, list(OPTIONS.values())
    rows = [
        row | picture | {"index": at * 10**6, "answer": "DCBA"[-1 - at]}
        | dict(zip("ABCD", texts[-at:] + texts[:-at], strict=True))
        for at in range(4)
    ]  # fmt: skip
    fixture = made(root, kit, rows, counted=False)
    return replace(fixture, args=[*fixture.args, "--release", "1.0"])
