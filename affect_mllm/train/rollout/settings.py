"""A stage's `rollout`: answers are made, not read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from pydantic import PositiveFloat, PositiveInt

from affect_mllm.data.outline import Room
from affect_mllm.data.senses import SENSES, Sense
from affect_mllm.data.settings import DataSettings
from affect_mllm.data.template import Instruction
from affect_mllm.train.loss.objective import Loss
from affect_mllm.train.rollout.reward import Reward
from affect_mllm.types import ConfigError

# What the log says of a step's answers, beside each reward by its name.
LOGGED = frozenset(
    {
        *("dead_groups", "distinct", "tokens_an_answer", "ended", "reward", "reward_spread"),
        *("unrewarded", "longest", "rollout_seconds", "rollout_imbalance"),
    }
)


@dataclass(frozen=True)
class Rollout:
    """How many answers to each prompt, how they are drawn, and what they are worth.

    A batch's size counts prompts. `temperature` divides the logits that are drawn from and scored
    by; no part of the vocabulary is cut off. `questions` names the instructions that the model
    answers itself (none: all but conversations); the others' rows are learnt as they are. `passes`
    updates are made of a step's answers. `at_once` answers are drawn at a time.
    `answers` are drawn to each prompt, of at most `max_new_tokens` each; `rewards` say by name what
    they are worth.
    """

    rewards: dict[str, Reward]
    answers: Annotated[int, Ge(2)] = 8
    max_new_tokens: PositiveInt = 64
    temperature: PositiveFloat = 1.0
    questions: tuple[str, ...] = ()
    passes: PositiveInt = 1
    at_once: PositiveInt = 64

    def __post_init__(self) -> None:
        if not self.rewards:
            raise ConfigError("stage.rollout.rewards", "none", expected="one or more, by name")
        if taken := sorted(LOGGED & self.rewards.keys()):
            raise ConfigError(
                "stage.rollout.rewards", f"{taken}", expected="other names: the log has these"
            )

    def room(self, losses: Iterable[Loss]) -> Room:
        """What an example's answers may take, and the senses that these losses hide."""
        hidden = {loss.hides for loss in losses}
        senses: tuple[Sense, ...] = tuple(each for each in SENSES if each in hidden)
        return Room(self.answers * self.max_new_tokens, tuple(self.questions), senses)


def check_rollout(name: str, rollout: Rollout, data: DataSettings) -> None:
    """ConfigError for questions that do not exist or have no answer to be given, and for those in
    another language, whose answers rewards would not read.
    """
    asked = {n: each for n, each in data.instructions.items() if isinstance(each, Instruction)}
    known = [*asked]
    if unknown := sorted(set(rollout.questions) - set(known)):
        raise ConfigError(
            f"stages.{name}.rollout.questions", f"{unknown}", expected=f"some of {sorted(known)}"
        )
    for question in rollout.questions or known:
        if asked[question].language is not None:
            raise ConfigError(
                f"stages.{name}.rollout",
                f"question {question} has language: {asked[question].language}",
                expected="questions in English, the only language that rewards read",
                fix=f"data.instructions.{question}.language=null",
            )
