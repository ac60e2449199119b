"""What the model drew is what is rewarded and learnt: token by token, mode by mode."""

from __future__ import annotations

from typing import Any

import torch

from affect_mllm.models import sample
from affect_mllm.models.sample import Answer
from affect_mllm.train.loss.answers import Answers
from affect_mllm.train.main import main
from affect_mllm.train.rollout import rollouts
from affect_mllm.train.step.trainer import Trainer
from affect_mllm.types import ExitCode
from tests.train.test_reinforce import overrides, rows

MANY = (
    "~stages.instruct",
    "stages.reinforce.steps=1",
    "stages.reinforce.batch_size=8",
    "stages.reinforce.rollout.answers=8",
    "stages.reinforce.rollout.max_new_tokens=12",
    "stages.reinforce.rollout.at_once=64",
)


def test_what_was_drawn_is_rewarded_and_learnt_to_its_end(tiny, tmp_path, monkeypatch) -> None:
    """With dropout off while drawing; the end of an answer is learnt, nothing behind it is."""
    drawn: list[Answer] = []
    learnt: list[tuple[int, ...]] = []
    modes: list[bool] = []
    draw, step = rollouts.draw, Trainer.train_step

    def drawing(model: Any, *given: Any, **how: Any) -> list[list[Answer]]:
        modes.append(model.training)
        found = draw(model, *given, **how)
        drawn.extend(answer for own in found for answer in own)
        return found

    def train_step(self: Trainer, number: int, part: Any) -> Any:
        modes.append(self.engine.module.training)
        for micro in part.micro_batches:
            answers = Answers.of(micro)
            each = answers.targets.split(list(answers.lengths))
            learnt.extend(tuple(ids.tolist()) for ids in each)
        return step(self, number, part)

    tokenizer = tiny.model().llm.tokenizer
    end, by_chance = tiny.data.chat(tokenizer).end_id, sample.exponentials

    def chance(keys: torch.Tensor, step: int, count: int) -> torch.Tensor:
        """Three answers of four end, at any length: a random model's hardly ever do."""
        found = by_chance(keys, step, count)
        found[keys % 16 == step, end] = 1e-30
        return found

    monkeypatch.setattr(sample, "exponentials", chance)
    monkeypatch.setattr(rollouts, "draw", drawing)
    monkeypatch.setattr(Trainer, "train_step", train_step)
    assert main(overrides(tiny, tmp_path, *MANY)) == ExitCode.DONE
    assert modes == [False, True]
    assert sorted(learnt) == sorted(answer.ids for answer in drawn)
    assert {answer.ended for answer in drawn} == {True, False}
    kept = [each for row in rows(tmp_path, "rollouts-0.jsonl") for each in row["answers"]]
    for said, answer in zip(kept, drawn, strict=True):
        assert (said["ended"], said["tokens"]) == (answer.ended, len(answer.ids))
        own = answer.ids[:-1] if answer.ended else answer.ids
        assert end not in own
        assert answer.ids[-1] == end if answer.ended else len(answer.ids) == 12
        assert said["text"] == tokenizer.decode(own, skip_special_tokens=True).strip()


def test_in_bfloat16_it_is_scored_as_it_was_drawn_but_for_rounding(tiny, tmp_path) -> None:
    assert main(overrides(tiny, tmp_path, *MANY, "launch.precision=bf16")) == ExitCode.DONE
    (row,) = rows(tmp_path)
    assert 0 < row["notes"]["policy/drift"] < 0.1
