"""A stage of reinforcement killed in the middle of a step ends at the same bytes.

`AFFECT_SOAK=1` (`make soak`) kills it eight times in place of once.
"""

from __future__ import annotations

import os
import random
import signal
from functools import partial
from pathlib import Path

from affect_mllm.train.main import main
from affect_mllm.types import ExitCode
from tests.processes import started, wait_until
from tests.train.test_reinforce import answers, overrides, rows, weights

KILLS = 8 if os.environ.get("AFFECT_SOAK") else 1
STEPS = 6 * KILLS


def given(tiny, run: Path) -> list[str]:
    return overrides(
        tiny,
        run,
        "~stages.instruct",
        f"stages.reinforce.steps={STEPS}",
        "stages.reinforce.save_every=2",
        "+stages.reinforce.keep_last=2",
    )


def answered(run: Path, groups: int) -> bool:
    path = run / "reinforce" / "rollouts-0.jsonl"
    return path.is_file() and len(path.read_bytes().splitlines()) >= groups


def test_killed_at_a_random_step_it_goes_on_bit_for_bit(tiny, tmp_path) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert main(given(tiny, straight)) == ExitCode.DONE
    chance = random.Random(0)
    for number in range(KILLS):
        groups = 4 * (6 * number + chance.randrange(2, 4))  # after answers, before the update
        with started(["train.py", *given(tiny, broken)]) as process:
            wait_until(process, partial(answered, broken, groups))
            process.kill()
            assert process.wait() == -signal.SIGKILL
        assert not (broken / "reinforce" / "final").exists()
    assert main(given(tiny, broken)) == ExitCode.DONE
    assert weights(broken) == weights(straight)
    assert answers(broken) == answers(straight)
    for one, two in zip(rows(broken), rows(straight), strict=True):
        assert one["losses"] == two["losses"]
        assert one["rollout"]["reward"] == two["rollout"]["reward"]
