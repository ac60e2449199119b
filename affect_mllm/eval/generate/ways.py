"""Other ways of asking the same: the question in other words, and answers drawn again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from affect_mllm.eval.task import Task
from affect_mllm.models.decoding import Repeat, TokenSampling
from affect_mllm.types import ConfigError

QUESTION = "{plain}"  # stands for the task's own
_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Way:
    """How a benchmark is asked once more: the `task` with its words, and perhaps a `repeat`."""

    kind: Literal["wordings", "repeats"]  # as in results
    name: str
    task: Task
    repeat: Repeat | None = None

    @property
    def file(self) -> str:
        """What its predictions file is called after the plain one's."""
        return f"{self.kind.removesuffix('s')}-{self.name}"

    @property
    def stamp(self) -> dict[str, str]:
        """What its rows have besides the asker's stamp, which holds the prompt and the seed."""
        return {self.kind.removesuffix("s"): self.name}

    @property
    def told(self) -> dict[str, str]:
        """What results say of it."""
        drawn = {} if self.repeat is None else {"decoding": str(self.repeat)}
        return {"question": self.task.question, **drawn}


def main_way(
    task: Task, decoding: Literal["greedy", "sampled"] | None, sampling: TokenSampling
) -> Repeat | None:
    """How the answers are drawn that count: by the run's `sampling`, or the task's own; None:
    greedily.
    """
    own = task.decoding if decoding is None else None
    drawn = sampling if decoding == "sampled" else own
    return None if drawn is None else Repeat(drawn, 0)


def ways(
    task: Task, variants: Mapping[str, str], repeats: int, sampling: TokenSampling
) -> list[Way]:
    """A way for each of the `variants` (name → question; `{plain}` in it is the task's own) and for
    each of the `repeats`, numbered from 1. ConfigError for a name or a text that cannot be one.
    """
    wrong = [
        name
        for name, text in variants.items()
        if not _NAME.fullmatch(name) or name == "plain" or not text.strip()
    ]
    if wrong:
        raise ConfigError(
            "variants",
            f"{wrong}",
            expected="names of letters, digits, _ and -, each with a question that is not blank; "
            "`plain` is the task's own",
        )
    asked = {name: text.replace(QUESTION, task.question) for name, text in variants.items()}
    worded = [Way("wordings", n, replace(task, question=text)) for n, text in asked.items()]
    drawn = [Repeat(sampling, number) for number in range(1, repeats + 1)]
    return [*worded, *(Way("repeats", str(each.number), task, each) for each in drawn)]
