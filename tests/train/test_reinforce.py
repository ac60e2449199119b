"""A stage whose answers the model gives itself, through the command."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from affect_mllm.data import manifest
from affect_mllm.models import checkpoint
from affect_mllm.rewards.wheel import WheelF1
from affect_mllm.train.main import main
from affect_mllm.train.step.trainer import Trainer
from affect_mllm.types import ConfigError, ExitCode
from tests.processes import finished
from tests.train import resuming
from tests.train.resuming import stop_after

SOAK = bool(os.environ.get("AFFECT_SOAK"))
STEPS = 4
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
REWARD = "{_target_: tests.own_rewards.NAME, weight: WEIGHT}"


def overrides(tiny, run: Path, *more: str, reward: str = "Vowels", weight: float = 1.0):
    """Two steps of `instruct`, whose LoRA the reference has, then four of reinforcement."""
    own = REWARD.replace("NAME", reward).replace("WEIGHT", f"{weight}")
    given = tiny.overrides(
        run,
        "~stages.align",
        "~stages.emotion",
        "+stage@stages.reinforce=reinforce",
        f"stages.reinforce.steps={STEPS}",
        "stages.reinforce.batch_size=4",
        "stages.reinforce.save_every=50",
        "stages.reinforce.trainable.lora.lr=0.003",
        "stages.reinforce.schedule.warmup_steps=0",
        "stages.reinforce.rollout.answers=4",
        "stages.reinforce.rollout.max_new_tokens=6",
        "stages.reinforce.rollout.at_once=8",
        f"+stages.reinforce.rollout.rewards.own={own}",
        "model.llm.lora.lora_dropout=0.3",  # off here: what is drawn from is what is scored
        "plugins=[tests]",
        *more,
    )
    gone = [each.removeprefix("~") + "." for each in given if each.startswith("~stages.")]
    return [each for each in given if not each.startswith(tuple(gone))]


def rows(run: Path, file: str = "metrics.jsonl") -> list[dict]:
    return [json.loads(x) for x in (run / "reinforce" / file).read_text().splitlines()]


def answers(run: Path) -> list:
    """What was answered at each step, whichever rank drew it."""
    found = [row for path in sorted((run / "reinforce").glob("rollouts-*.jsonl"))
             for row in rows(run, path.name)]  # fmt: skip
    told = ([r["step"], r["id"], r["answers"]] for r in found)
    return sorted(told, key=json.dumps)  # a clip may be asked about twice in a step


def weights(run: Path) -> bytes:
    return (run / "reinforce" / "final" / checkpoint.WEIGHTS).read_bytes()


def same(one: Path, two: Path) -> None:
    """Answers, losses, notes, rewards and weights, bit for bit."""
    assert weights(one) == weights(two)
    assert answers(one) == answers(two)
    for a, b in zip(rows(one), rows(two), strict=True):
        assert a["losses"] == b["losses"]
        assert a["notes"] == b["notes"]
        assert a["rollout"]["reward"] == b["rollout"]["reward"]


@pytest.fixture(scope="module")
def straight(tiny, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("straight")
    assert main(overrides(tiny, run)) == ExitCode.DONE
    return run


def test_a_step_says_what_was_answered_and_what_it_was_worth(straight) -> None:
    every = rows(straight)
    assert len(every) == STEPS
    for row in every:
        said, noted = row["rollout"], row["notes"]
        assert said["tokens_an_answer"] <= said["longest"] <= 6
        assert 0 <= said["dead_groups"] <= 1
        assert 0 < said["own"] < 1
        assert said["own_spread"] > 0
        assert said["reward"] == pytest.approx(said["own"] + said["wheel"] + 0.2 * said["labels"])
        assert 1 <= said["distinct"] <= 4
        assert said["wheel/labels"] >= 0
        assert noted["policy/drift"] < 1e-4, "scored as drawn"
        assert noted["policy/entropy"] > 0
        assert row["supervised_tokens"] > 0
    assert 0 < every[0]["rollout"]["wheel/constant"] <= 1, "what never looking reaches"
    assert "wheel/constant" not in every[1]["rollout"]
    assert every[0]["notes"]["stay/divergence"] == 0.0, "policy and reference are one at step 0"
    assert every[-1]["notes"]["stay/divergence"] > 0
    kept = rows(straight, "rollouts-0.jsonl")
    assert len(kept) == 4 * STEPS
    one = kept[0]["answers"]
    assert kept[0]["question"]
    assert len(one) == 4
    for each in one:
        parts = each["rewards"]
        whole = parts["own"] + parts["wheel"] + 0.2 * parts["labels"]
        assert each["reward"] == pytest.approx(whole)
    assert sum(each["advantage"] for each in one) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_killed_at_any_step_it_goes_on_bit_for_bit(tiny, straight, tmp_path, step) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_after(step, patch, stage="reinforce")
        assert main(overrides(tiny, tmp_path)) == ExitCode.STOPPED
    assert main(overrides(tiny, tmp_path)) == ExitCode.DONE
    same(tmp_path, straight)


WINDOW = (
    "~stages.instruct",
    "stages.reinforce.steps=2",
    "stages.reinforce.save_every=1",
    "stages.reinforce.losses.policy.old=sampled",
    "stages.reinforce.rollout.passes=3",
)


@pytest.fixture(scope="module")
def window(tiny, tmp_path_factory) -> Path:
    """Two steps of three updates each."""
    run = tmp_path_factory.mktemp("window")
    assert main(overrides(tiny, run, *WINDOW)) == ExitCode.DONE
    return run


def before(update: int, patch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Have something done just before that update, counted from 1."""
    taken, whole = [0], Trainer.train_step

    def train_step(self: Trainer, step: int, part):
        taken[0] += 1
        if taken[0] == update:
            do()
        return whole(self, step, part)

    patch.setattr(Trainer, "train_step", train_step)


@pytest.mark.parametrize("update", [1, 2, 3] if SOAK else [2])
def test_asked_to_stop_between_updates_it_ends_the_window_first(
    tiny, window, tmp_path, update
) -> None:
    """So there are no answers to be kept: the next ones are drawn anew."""
    with pytest.MonkeyPatch.context() as patch:
        before(update, patch, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert main(overrides(tiny, tmp_path, *WINDOW)) == ExitCode.STOPPED
    assert len(rows(tmp_path)) == 1
    assert main(overrides(tiny, tmp_path, *WINDOW)) == ExitCode.DONE
    assert weights(tmp_path) == weights(window)
    assert answers(tmp_path) == answers(window)


def test_lost_between_updates_the_window_is_drawn_and_learnt_again(tiny, window, tmp_path) -> None:
    def lose() -> None:
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        before(5, patch, lose)  # the second step's second
        with pytest.raises(MemoryError):
            main(overrides(tiny, tmp_path, *WINDOW))
    assert main(overrides(tiny, tmp_path, *WINDOW)) == ExitCode.DONE
    assert weights(tmp_path) == weights(window)
    assert answers(tmp_path) == answers(window)


# From the start, and at a small rate: Adam makes a step of what differs by rounding alone.
SLOW = ("~stages.instruct", "stages.reinforce.trainable.lora.lr=2e-5")


def close(one: Path, two: Path, *, norms: float = 1e-6) -> None:
    """The same answers and rewards; losses and gradient norms but for rounding."""
    assert answers(one) == answers(two)
    for a, b in zip(rows(one), rows(two), strict=True):
        assert a["rollout"]["reward"] == pytest.approx(b["rollout"]["reward"], rel=1e-9)
        assert a["losses"] == pytest.approx(b["losses"], rel=1e-6, abs=1e-6)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=norms, abs=0), a["step"]


def test_a_rank_with_a_video_and_a_rank_with_words_wait_for_nothing(tiny, tmp_path) -> None:
    """Drawing calls nothing that both have to; the answers are those of one process."""
    film = next(s for s in tiny.samples if "video" in s.media and s.split == "train")
    words = replace(film, id="words", media={})
    path = tmp_path / "manifest.jsonl"
    manifest.write([film, words], path, media_root=tiny.root)
    more = (*SLOW, "stages.reinforce.steps=2", "stages.reinforce.batch_size=2")
    alone, two = tmp_path / "alone", tmp_path / "two"

    def given(run: Path, *others: str) -> list[str]:
        found = overrides(tiny, run, *more, *others)
        kept = [each for each in found if not each.startswith("data.manifest=")]
        return [*kept, f"data.manifest={path}"]

    assert main(given(alone)) == ExitCode.DONE
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([{"overrides": given(two, "launch.strategy=ddp"), "stop": None}]))
    code, said = finished([*TORCHRUN, "-m", resuming.__name__, str(plan)], deadline_s=900)
    assert code == 0, said[-3000:]
    close(alone, two)
    of_ranks = [{row["id"] for row in rows(two, f"rollouts-{rank}.jsonl")} for rank in (0, 1)]
    assert sorted(of_ranks, key=len) in ([{film.id}, {"words"}], [{"words"}, {film.id}])


def test_groups_without_a_difference_teach_nothing(tiny, tmp_path, monkeypatch) -> None:
    """No update at all: AdamW would move by its moments, and by decay."""
    taken: list[int] = []
    whole = Trainer.train_step

    def step(self: Trainer, number: int, part):
        taken.append(number)
        return whole(self, number, part)

    monkeypatch.setattr(Trainer, "train_step", step)
    more = [
        "~stages.instruct",
        "~stages.reinforce.losses.stay",
        "~stages.reinforce.rollout.rewards.wheel",
        "~stages.reinforce.rollout.rewards.labels",
    ]
    given = overrides(tiny, tmp_path, *more, reward="Constant")
    assert main(given) == ExitCode.DONE
    assert taken == []
    every = rows(tmp_path)
    assert [row["rollout"]["dead_groups"] for row in every] == [1.0] * STEPS
    assert len(answers(tmp_path)) == 4 * STEPS


def test_a_dead_group_has_a_gradient_of_exactly_zero(tiny, tmp_path, monkeypatch) -> None:
    """Beside another loss, which is weighted away to nothing."""
    found: list[float] = []
    update = Trainer.train_step

    def step(self: Trainer, number: int, part):
        gradients = self.engine.update

        def watched():
            grads = [p.grad for p in self.engine.parameters()]
            found.append(max(float(g.abs().max()) for g in grads if g is not None))
            return gradients()

        self.engine.update = watched  # type: ignore[method-assign]
        try:
            return update(self, number, part)
        finally:
            self.engine.update = gradients  # type: ignore[method-assign]

    monkeypatch.setattr(Trainer, "train_step", step)
    more = [
        "~stages.instruct",
        "stages.reinforce.losses.stay.weight=0",
        "~stages.reinforce.rollout.rewards.wheel",
        "~stages.reinforce.rollout.rewards.labels",
        "stages.reinforce.steps=2",
    ]
    given = overrides(tiny, tmp_path, *more, reward="Constant")
    assert main(given) == ExitCode.DONE
    assert found == [0.0, 0.0]


def test_rows_with_answers_may_be_mixed_in_and_some_answers_have_no_reward(tiny, tmp_path) -> None:
    more = [
        "+stages.reinforce.losses.lm={_target_: affect_mllm.train.loss.token.TokenLoss}",
        "+stages.reinforce.sources.data.instructions.label=1",
        "stages.reinforce.sources.data.has=[]",
        "stages.reinforce.losses.policy.over=tokens",
    ]
    assert main(overrides(tiny, tmp_path, *more, reward="Sometimes")) == ExitCode.DONE
    every = rows(tmp_path)
    groups = [len([r for r in answers(tmp_path) if r[0] == row["step"]]) for row in every]
    assert 0 < sum(groups) < 4 * STEPS
    assert any(row["losses"]["lm"] > 0 for row in every)


def test_several_updates_of_a_rollout(tiny, tmp_path) -> None:
    more = ["stages.reinforce.losses.policy.old=sampled", "stages.reinforce.rollout.passes=3"]
    assert main(overrides(tiny, tmp_path, *more)) == ExitCode.DONE
    every = rows(tmp_path)
    assert len(every) == STEPS
    assert every[0]["notes"]["policy/drift"] > 1e-3, "of the third update"


def test_another_reward_does_not_resume(tiny, tmp_path, monkeypatch) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_after(2, patch, stage="reinforce")
        assert main(overrides(tiny, tmp_path)) == ExitCode.STOPPED
    with pytest.raises(ConfigError, match=r"rewards\.own\.weight"):
        main(overrides(tiny, tmp_path, weight=0.5))
    with pytest.raises(ConfigError, match=r"rollout\.temperature"):
        main(overrides(tiny, tmp_path, "stages.reinforce.rollout.temperature=0.9"))
    monkeypatch.setattr(WheelF1, "identity", lambda _: "other tables")
    with pytest.raises(ConfigError):
        main(overrides(tiny, tmp_path))


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ("~stages.reinforce.losses.policy", "stage.losses"),
        ("stages.reinforce.rollout.passes=2", "stage.rollout.passes"),
        ("stages.reinforce.rollout.questions=[other]", "stages.reinforce.rollout.questions"),
        ("~stages.reinforce.rollout", "stage.rollout"),
        ("+data.instructions.open_vocabulary.language=de", "stages.reinforce.rollout"),
    ],
)
def test_what_cannot_be_is_said(tiny, tmp_path, more: str, where: str) -> None:
    with pytest.raises(ConfigError) as error:
        main(overrides(tiny, tmp_path, more))
    assert where in error.value.where + str(error.value)


def rewards(tiny, run: Path, seed: int, **how) -> tuple[float, float]:
    """The reward of one's own in the first and in the last three of 64 steps."""
    more = [
        f"seed={seed}",
        "~stages.instruct",
        "stages.reinforce.steps=64",  # on any machine: fewer end in what was drawn by chance
        "stages.reinforce.trainable.lora.lr=0.02",
        "stages.reinforce.rollout.answers=8",
        "stages.reinforce.rollout.at_once=32",
        "~stages.reinforce.rollout.rewards.wheel",
        "~stages.reinforce.rollout.rewards.labels",
        "~stages.reinforce.losses.stay",
        "stages.reinforce.losses.policy.weight=6",  # of L: a mean over tokens of answers
    ]
    given = overrides(tiny, run, *more, **how)
    assert main(given) == ExitCode.DONE
    found = [row["rollout"]["own"] for row in rows(run)]
    return sum(found[:3]) / 3, sum(found[-3:]) / 3


def test_the_reward_rises_falls_with_its_sign_and_stays_where_it_is_shuffled(
    tiny, tmp_path
) -> None:
    first, last = rewards(tiny, tmp_path / "up", 1)
    assert last > first + 0.1
    down, lowest = rewards(tiny, tmp_path / "down", 1, weight=-1.0)
    assert down - lowest > 0.05
    moved = [
        b - a
        for a, b in (rewards(tiny, tmp_path / f"s{s}", s, reward="Shuffled") for s in (1, 2, 3))
    ]
    spread = torch.tensor(moved).std() / 3**0.5
    assert abs(sum(moved) / 3) < max(0.1, 3 * float(spread))
    assert sum(moved) / 3 < (last - first) / 2
