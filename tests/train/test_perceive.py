"""A stage of reinforcement whose answers are read again without the sound, through the command."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from affect_mllm.data import senses
from affect_mllm.data.loader import StepDataset
from affect_mllm.eval.generate.examples import Examples
from affect_mllm.eval.generate.question import Question
from affect_mllm.eval.generate.views import View
from affect_mllm.train.main import main
from affect_mllm.types import ExitCode
from tests.processes import finished
from tests.train import resuming
from tests.train.resuming import stop_after
from tests.train.test_reinforce import SLOW, TORCHRUN, close, overrides, rows, same

HEARD = "[aeiou]"  # a tiny model says no words: a clause with such a letter speaks of the voice
TERM = "+stages.reinforce.losses.hear={{_target_: affect_mllm.train.loss.perception.Perception, sense: audio, most: {most}, weight: {weight}}}"  # noqa: E501
HEAR = TERM.format(most=1.0, weight=0.5)


@pytest.fixture(autouse=True)
def heard(monkeypatch) -> None:
    monkeypatch.setitem(senses.LEXICON, "audio", re.compile(HEARD))


def test_killed_it_goes_on_bit_for_bit(tiny, tmp_path) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert main(overrides(tiny, straight, HEAR)) == ExitCode.DONE
    with pytest.MonkeyPatch.context() as patch:
        stop_after(2, patch, stage="reinforce")
        assert main(overrides(tiny, broken, HEAR)) == ExitCode.STOPPED
    assert main(overrides(tiny, broken, HEAR)) == ExitCode.DONE
    same(broken, straight)
    assert all(row["losses"]["hear"] < 0 for row in rows(straight))
    assert all(0 < row["notes"]["hear/speaking"] < 1 for row in rows(straight))
    assert all(row["notes"]["hear/divergence"] > 0 for row in rows(straight))


def test_a_layout_and_two_processes_change_nothing(tiny, tmp_path) -> None:
    """Padded in one micro-batch; packed in three; on two ranks of DDP and ZeRO-2."""
    more = (*SLOW, HEAR, "stages.reinforce.steps=2")
    alone = tmp_path / "alone"
    assert main(overrides(tiny, alone, *more)) == ExitCode.DONE
    packed = ("launch.micro_batches=3", "launch.row_tokens=900")
    assert main(overrides(tiny, tmp_path / "packed", *more, *packed)) == ExitCode.DONE
    names = ("ddp", "zero2")
    plan = [
        {
            "overrides": overrides(
                tiny, tmp_path / name, *more, f"launch.strategy={name}", "launch.micro_batches=2"
            ),
            "stop": None,
            "heard": HEARD,
        }
        for name in names
    ]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    code, said = finished([*TORCHRUN, "-m", resuming.__name__, str(path)], deadline_s=900)
    assert code == 0, said[-3000:]
    for name in ("packed", *names):
        close(alone, tmp_path / name, norms=1e-5)
    assert all(row["losses"]["hear"] for row in rows(alone))


def test_a_muted_prompt_is_evaluations_example_without_the_sound(tiny, tmp_path) -> None:
    """Ids, spans and states, of every row of a step; a row that has nothing else has none."""
    kept: list[StepDataset] = []
    with pytest.MonkeyPatch.context() as patch:
        whole = StepDataset.__getitem__

        def item(self: StepDataset, step: int):
            kept.append(self)
            return whole(self, step)

        patch.setattr(StepDataset, "__getitem__", item)
        more = ("~stages.instruct", "stages.reinforce.steps=1", "stages.reinforce.batch_size=12")
        assert main(overrides(tiny, tmp_path, HEAR, *more)) == ExitCode.DONE
    dataset = kept[0]
    samples = {sample.id: sample for sample in tiny.samples}
    compared = 0
    for example in (each for micro in dataset[0].prompts for each in micro):
        assert example.open is not None
        asked = Question(example.open.question)
        made = Examples(dataset.outliner.maker, dataset.features, asked, View(("face", "text")))
        found = made.made([samples[example.sample_id]])
        if "audio" not in example.media:
            assert not example.without
            continue
        if found.batch is None:
            assert not example.without, "nothing would be left of it"
            continue
        muted = example.without["audio"]
        assert found.batch.input_ids.tolist() == [muted.input_ids]
        theirs = [(span.modality, span.start, span.length) for span in found.batch.spans]
        assert theirs == [(span.modality, span.start, span.length) for span in muted.spans]
        assert found.batch.media.keys() == muted.media.keys()
        for name, items in found.batch.media.items():
            np.testing.assert_array_equal(items.values[0].numpy(), muted.media[name])
        assert len(muted.input_ids) < len(example.input_ids)
        compared += 1
    assert compared > 3


@pytest.mark.parametrize("seed", [0, 1])
def test_at_answers_once_drawn_the_divergence_rises_and_with_its_sign_turned_falls(
    tiny, tmp_path, seed
) -> None:
    """The term alone, noted at the first and at the sixth update by the same answers.

    Where a run ends that draws anew is chance; where these go is not.
    """

    def noted(passes: int, weight: float) -> float:
        folder = tmp_path / f"{passes}{weight}"
        more = [
            f"seed={seed}",
            "~stages.instruct",
            "~stages.reinforce.losses.stay",
            "stages.reinforce.losses.policy.weight=0",
            "stages.reinforce.losses.policy.old=sampled",
            "stages.reinforce.steps=1",
            f"stages.reinforce.rollout.passes={passes}",
            "stages.reinforce.trainable.lora.lr=0.001",
            "+stages.reinforce.trainable.connectors={match: 'compressors\\..*', lr: 0.001}",
            TERM.format(most=50.0, weight=weight),
        ]
        assert main(overrides(tiny, folder, *more)) == ExitCode.DONE
        (row,) = rows(folder)
        return row["notes"]["hear/divergence"]

    first = noted(1, 1.0)
    assert noted(1, -1.0) == first
    up, down = noted(6, 1.0), noted(6, -1.0)
    assert up > 2 * first
    assert down < 0.9 * first
