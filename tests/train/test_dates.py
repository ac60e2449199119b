"""A prompt that names the day names the day on which its run began, tomorrow too."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from affect_mllm import config
from affect_mllm.data import chat
from affect_mllm.data.example import ExampleMaker
from affect_mllm.data.settings import DataSettings
from affect_mllm.models import checkpoint
from affect_mllm.models.pretrained import load_tokenizer
from affect_mllm.models.tiny.language import CHAT
from affect_mllm.train.main import main
from affect_mllm.train.plan import dates
from affect_mllm.types import ExitCode
from tests.train.resuming import stop_after

ALONE = ("~stages.align", "~stages.emotion", "stages.instruct.steps=3")
DATED = "{{ '<|im_start|>system\\nToday Date: ' + strftime_now('%d %B %Y') + '<|im_end|>\\n' }}"


@pytest.fixture
def clock(monkeypatch):
    """Sets the day."""

    def to(day: str) -> None:
        class Faked(date):
            @classmethod
            def today(cls) -> date:
                return date.fromisoformat(day)

        for module, name in ((dates, "date"), (chat, "Day")):
            monkeypatch.setattr(module, name, Faked)

    return to


@pytest.fixture
def dated_llm(tiny, tmp_path) -> Path:
    """The tiny LLM with a chat template that writes today's date."""
    folder = tmp_path / "llm"
    shutil.copytree(tiny.root / "llm", folder)
    tokenizer = load_tokenizer(str(folder))
    tokenizer.chat_template = DATED + CHAT
    tokenizer.save_pretrained(folder)
    return folder


def train(tiny, llm: Path, run_dir: Path, *more: str) -> ExitCode:
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()
    return main(tiny.overrides(run_dir, *ALONE, f"model.llm.model={llm}", *more))


def asked_with(folder: Path) -> ExampleMaker:
    """What evaluation makes prompts with, of a checkpoint."""
    node = checkpoint.load_config(folder)
    config.check(node.data)
    data: DataSettings = config.build(node.data)
    return data.maker(load_tokenizer(node.model.llm.model), {})


def test_a_run_goes_on_and_is_asked_with_the_day_it_began_on(
    tiny, dated_llm, tmp_path, clock, monkeypatch
) -> None:
    clock("2026-11-28")
    assert train(tiny, dated_llm, tmp_path / "straight") == ExitCode.DONE
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        assert train(tiny, dated_llm, tmp_path / "overnight") == ExitCode.STOPPED
    straight, overnight = (tmp_path / name / "instruct/final" for name in ("straight", "overnight"))
    made = asked_with(straight)
    hashed = made.prompt_hash("Which emotion?")
    clock("2026-11-29")
    assert train(tiny, dated_llm, tmp_path / "overnight") == ExitCode.DONE
    weights = [(folder / checkpoint.WEIGHTS).read_bytes() for folder in (straight, overnight)]
    assert weights[0] == weights[1]
    for folder in (straight, overnight):
        asked = asked_with(folder)
        assert asked.prompt_hash("Which emotion?") == hashed
        turns = asked._turns(["Which emotion?"])
        said = asked.chat.tokenizer.decode(asked.chat.render(turns, {}).input_ids)
        assert "Today Date: 28 November 2026" in said
    # A stage of another run goes on from it with its day; a new run begins with today's.
    settings = {"name": "x", "_target_": "?"}
    fixed = {
        name: dates.fixed(
            settings, tmp_path / "new", ["a"], parent=parent, agree=lambda days: days
        )["chat"]["date"]
        for name, parent in (("from it", straight), ("new", None))
    }
    assert fixed == {"from it": "2026-11-28", "new": "2026-11-29"}


def test_a_day_of_ones_own_and_other_formats_stay_as_they_are(tmp_path) -> None:
    own = {"_target_": dates.FORMAT, "_partial_": True, "date": "2024-07-26"}
    marked = {"_target_": "affect_mllm.data.chat.MarkedTurns", "_partial_": True}
    for node in (own, marked):
        given = {"chat": node}
        assert given == dates.fixed(given, tmp_path, ["a"], parent=None, agree=lambda days: days)


def test_the_first_ranks_clock_counts(tmp_path, clock) -> None:
    clock("2026-11-29")
    fixed = dates.fixed({}, tmp_path, ["a"], parent=None, agree=lambda days: ["2026-11-28", *days])
    assert fixed["chat"]["date"] == "2026-11-28"
