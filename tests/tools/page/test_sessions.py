"""A page's session: uploads are read and deleted, answers come in pieces, pages are forgotten."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

import affect_mllm
from affect_mllm.tools.page import sessions as pages
from affect_mllm.tools.page.bounds import Bounds
from affect_mllm.tools.page.looked import Looked, look
from affect_mllm.tools.page.sessions import KEPT, Sessions
from affect_mllm.tools.page.turn import Asked, emotions_in
from affect_mllm.tools.pipeline import Pipeline
from affect_mllm.types import ConfigError, DataError
from tests.tools.exports import checkpoint

QUESTION, LABELS = "Which emotion?", ("happy", "sad", "angry")
ASKED = Asked(QUESTION, LABELS, "I won!")


@pytest.fixture(scope="module")
def other(tiny, tmp_path_factory) -> Pipeline:
    """A checkpoint with other weights, that looks at another number of frames."""
    cfg = tiny.cfg.copy()
    cfg.data.reader.sampling.frames = 3
    made = affect_mllm.load(checkpoint(tmp_path_factory.mktemp("other") / "final", cfg))
    with torch.no_grad():
        for parameter in made.model.compressors.parameters():
            parameter.mul_(-1.5)
    return made


@pytest.fixture
def sessions(model: Pipeline) -> Sessions:
    return Sessions({"one": model})


def last(sessions: Sessions, page: str, asked: Asked):
    return [*sessions.ask(page, asked)][-1]


def test_an_upload_is_read_and_deleted(sessions: Sessions, clip: Path) -> None:
    looked = sessions.read("page", clip)
    assert not clip.exists()
    assert looked["one"].pictures["frame"].ndim == 4
    assert last(sessions, "page", ASKED)["one"].modalities == ("frame", "audio", "text")


def test_a_broken_upload_is_said_as_the_command_line_says_it_and_deleted(
    sessions: Sessions, model: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "up").mkdir()
    for each in ("broken.mp4", "up/broken.mp4"):
        (tmp_path / each).write_bytes(b"\0\0\0\x18ftypmp42 and no more")
    with pytest.raises(DataError) as said:
        model.ask(["broken.mp4"], QUESTION)
    with pytest.raises(DataError) as shown:
        sessions.read("page", tmp_path / "up/broken.mp4")
    assert str(shown.value) == str(said.value)
    assert not (tmp_path / "up/broken.mp4").exists()


def test_what_is_refused_is_deleted_too_and_takes_the_last_clip_away(
    model: Pipeline, clip: Path, tmp_path: Path
) -> None:
    sessions = Sessions({"one": model}, Bounds(mib=1))
    sessions.read("page", clip)
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(2 * 2**20))
    with pytest.raises(DataError, match="at most 1 MiB"):
        sessions.read("page", large)
    assert not large.exists()
    assert not sessions.held


def test_the_answer_comes_in_pieces_and_is_that_of_ask(
    sessions: Sessions, model: Pipeline, clip: Path
) -> None:
    (expected,) = model.ask([clip], QUESTION, subtitle="I won!")
    likely = model.likelihoods(clip, LABELS, subtitle="I won!")
    sessions.read("page", clip)
    told = [each["one"] for each in sessions.ask("page", ASKED)]
    texts = [each.answer for each in told]
    assert all(b.startswith(a) for a, b in itertools.pairwise(texts))
    assert len({*texts}) > 3
    assert [each.is_finished for each in told] == [False] * (len(told) - 1) + [True]
    assert told[-1].answer == expected.text
    assert told[-1].gate.keys() == expected.gate.keys()
    for modality, weights in expected.gate.items():
        assert told[-1].gate[modality] == pytest.approx(weights)
    assert dict(told[-1].shares) == pytest.approx(likely, rel=1e-4)


def test_a_modality_taken_away_changes_the_shares_and_the_former_ones_stay_beside(
    sessions: Sessions, clip: Path
) -> None:
    sessions.read("page", clip)
    assert not sessions.is_asked("page")
    whole = last(sessions, "page", ASKED)["one"]
    assert sessions.is_asked("page")
    assert whole.before is None
    deaf = Asked(QUESTION, LABELS, "I won!", frozenset({"face", "text"}))
    told = last(sessions, "page", deaf)["one"]
    assert told.modalities == ("frame", "text")
    assert told.before == whole.shares
    assert max(abs(told.shares[each] - whole.shares[each]) for each in LABELS) > 1e-3
    elsewhere = Asked("Why?", LABELS, "I won!", deaf.kinds)
    assert last(sessions, "page", elsewhere)["one"].before is None, "another question"


def test_two_checkpoints_answer_each_for_itself(
    model: Pipeline, other: Pipeline, clip: Path
) -> None:
    expected = [
        each.likelihoods(clip, LABELS, question=None, subtitle="I won!") for each in (model, other)
    ]
    both = Sessions({"one": model, "two": other})
    looked = both.read("page", clip)
    assert [len(each.pictures["frame"]) for each in looked.values()] == [2, 3]
    found = last(both, "page", ASKED)
    assert [dict(each.shares) for each in found.values()] == [
        pytest.approx(each, rel=1e-4) for each in expected
    ]
    assert found["one"].shares != found["two"].shares


def test_words_alone_nothing_at_all_and_no_question(sessions: Sessions) -> None:
    assert last(sessions, "page", ASKED)["one"].modalities == ("text",)
    with pytest.raises(ConfigError, match="nothing of the clip is left"):
        last(sessions, "new", Asked(QUESTION, LABELS))
    with pytest.raises(ConfigError, match="question"):
        last(sessions, "page", Asked("  ", LABELS, "I won!"))


def test_labels_that_cannot_be_compared_do_not_take_the_answer_away(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise ConfigError("label likelihoods", "of an LLM that cannot")

    monkeypatch.setattr(Pipeline, "compared", refuses)
    told = last(sessions, "page", ASKED)["one"]
    assert told.answer
    assert "of an LLM that cannot" in told.problem


def test_a_page_is_forgotten_and_only_the_latest_ones_are_kept(sessions: Sessions, tiny) -> None:
    for number in range(KEPT + 2):
        sessions._of(f"page{number}")
    assert [*sessions.held] == [f"page{number}" for number in range(2, KEPT + 2)]
    sessions.forget("page5")
    sessions.forget("page5")
    assert "page5" not in sessions.held


def test_a_page_that_is_closed_while_its_clip_is_read_leaves_nothing(
    sessions: Sessions, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closing(model: Pipeline, path: Path | None) -> Looked:
        sessions.forget("page")
        return look(model, path)

    monkeypatch.setattr(pages, "look", closing)
    with pytest.raises(ConfigError, match="reload"):
        sessions.read("page", clip)
    assert not clip.exists()
    assert not sessions.held
    with pytest.raises(ConfigError, match="reload"):
        last(sessions, "page", ASKED)
    assert not sessions.held


def test_a_page_whose_clip_had_to_make_room_is_told_so_until_it_uploads_again(
    sessions: Sessions, clip: Path
) -> None:
    upload = clip.read_bytes()
    sessions.read("early", clip)
    for number in range(KEPT):
        sessions._of(f"page{number}")
    for _ in range(2):
        with pytest.raises(ConfigError, match=f"{KEPT} later pages came"):
            last(sessions, "early", ASKED)
    clip.write_bytes(upload)
    sessions.read("early", clip)
    assert last(sessions, "early", ASKED)["one"].modalities == ("frame", "audio", "text")
    assert last(sessions, "page0", ASKED)["one"].modalities == ("text",), "it had none"


def test_emotion_words_are_read_as_an_evaluation_reads_them() -> None:
    assert emotions_in("The person feels happy and relieved.") == ("happy", "relieved")
    assert emotions_in("") == ()
