"""Every answer that was drawn, as JSON lines: the only way to see what a reward teaches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class KeptRollouts:
    """A rank's `rollouts-RANK.jsonl`; rows after a resume point are written anew.

    A row is `{"step", "id", "question", "answers": [{"text", "ended", "tokens", "rewards",
    "reward", "advantage"}]}`, a group each.
    """

    def __init__(self, path: Path, *, first_step: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept: list[str] = []
        if path.is_file():
            lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # a kill tears the last one
            kept = [f"{line}\n" for line in lines if json.loads(line)["step"] <= first_step]
        path.write_text("".join(kept), encoding="utf-8")
        self.path = path

    def add(self, step: int, groups: Sequence[dict[str, Any]]) -> None:
        """A step's groups; they are in the file when this returns."""
        with self.path.open("a", encoding="utf-8") as stream:
            for group in groups:
                stream.write(json.dumps({"step": step, **group}, ensure_ascii=False) + "\n")
