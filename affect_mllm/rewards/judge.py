"""A judge's score of an answer: a rubric, a model behind an endpoint, and a file of its replies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path

from affect_mllm.eval.chat import Endpoint, ReplyError
from affect_mllm.eval.generate.judge import Rubric
from affect_mllm.eval.replies import KeptReplies
from affect_mllm.train.rollout.reward import Answered, Reward
from affect_mllm.types import ConfigError, Sample


class Judge(Reward):
    """One of a rubric's scores, as a share of the way between its bounds.

    Replies are kept in `replies` (a JSONL file, other ranks' beside it), so that no answer is
    judged twice and a resumed run hears the same. A reply that does not come or cannot be read
    leaves its answer unrewarded, which is not 0: a network's failure must not teach anything.
    `rubric` says how is judged, `chat` by which server, `score` which of the rubric's scores
    counts.
    """

    def __init__(
        self, *, rubric: Rubric, chat: Endpoint, score: str, replies: str, weight: float = 1.0
    ) -> None:
        super().__init__(weight=weight)
        if score not in rubric.bounds:
            raise ConfigError("rewards.score", score, expected=f"one of {sorted(rubric.bounds)}")
        self.rubric, self.chat, self.score, self.replies = rubric, chat, score, Path(replies)

    def __call__(self, answers: Sequence[Answered]) -> list[float | None]:
        """Asked side by side, as many at once as the endpoint takes."""
        kept = self._kept  # opened once, before threads ask
        with ThreadPoolExecutor(self.chat.workers) as pool:
            return list(pool.map(partial(self._of, kept), answers))

    def identity(self) -> str:
        """Who judges, and by which words."""
        return f"{self.rubric.prompt_hash} {sorted(self.chat.identity().items())}"

    def _of(self, kept: KeptReplies, answer: Answered) -> float | None:
        if not answer.text.strip():
            return 0.0
        sample = Sample(answer.id, Path(), labels=dict(answer.truth))
        try:
            reply = kept.ask(self.rubric.messages(sample, answer.text))
        except ReplyError:
            return None
        low, high = self.rubric.bounds[self.score]
        found = self.rubric.read(reply)
        return None if found is None else (found[self.score] - low) / (high - low)

    @cached_property
    def _kept(self) -> KeptReplies:
        """Opened when it is first asked, in a file of this rank's own."""
        rank, path = os.environ.get("RANK", "0"), self.replies
        own = path if rank == "0" else path.with_name(f"{path.stem}-{rank}{path.suffix}")
        return KeptReplies(self.chat, own)
