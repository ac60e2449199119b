"""`affect_mllm.load`: what is loaded answers in batches, compares labels, goes to the Hub."""

from __future__ import annotations

import functools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import RepositoryNotFoundError

import affect_mllm
from affect_mllm.data.collate import collate
from affect_mllm.data.template import Instruction
from affect_mllm.models import checkpoint as store
from affect_mllm.models.likelihood import label_log_likelihoods
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.tools.app import main
from affect_mllm.tools.pipeline import Pipeline
from affect_mllm.train.main import main as train
from affect_mllm.types import CheckpointError, ConfigError, DataError, Sample
from tests.tools.exports import checkpoint

QUESTION = "Which emotion?"
LABELS = ("happy", "焦虑", "boredom and contempt")


@pytest.fixture(scope="module")
def clips(tiny) -> list[str]:
    """A video with sound, one without, a sound: as strings, as a user has them."""
    return [str(tiny.root / "clips" / name) for name in ("c00.mp4", "c01.mp4", "c02.wav")]


def test_batched_answers_are_those_of_one_by_one(model: Pipeline, clips: list[str]) -> None:
    words = ["I won!", None, "no"]
    together = model.ask(clips, QUESTION, subtitle=words, max_new_tokens=6)
    pairs = model.ask(clips, QUESTION, subtitle=words, max_new_tokens=6, batch_size=2)
    alone = [
        model.ask([clip], QUESTION, subtitle=said, max_new_tokens=6)[0]
        for clip, said in zip(clips, words, strict=True)
    ]
    assert [each.text for each in together] == [each.text for each in alone]
    assert [each.text for each in pairs] == [each.text for each in alone]
    assert [each.modalities for each in together] == [
        ("frame", "audio", "text"), ("frame",), ("audio", "text"),
    ]  # fmt: skip
    assert "no sound" in " ".join(together[1].warnings)


def test_the_maker_is_kept_and_another_checkpoint_has_its_own(model: Pipeline) -> None:
    kept, other = model.maker(), replace(model)
    assert model.maker() is kept
    assert other.maker() is not kept
    one, two = (m.ask([None], QUESTION, subtitle="Hm.", max_new_tokens=4) for m in (model, other))
    assert one == two


def test_the_same_clip_twice_and_words_alone(model: Pipeline, clips: list[str]) -> None:
    first, again, text = model.ask([clips[0], clips[0], None], QUESTION, subtitle="I won!",
                                   max_new_tokens=4)  # fmt: skip
    assert first == again
    assert text.modalities == ("text",)


def test_likelihoods_are_shares_of_one_and_those_of_the_model(
    model: Pipeline, clips: list[str]
) -> None:
    found = model.likelihoods(clips[0], LABELS, question=QUESTION, subtitle="I won!")
    assert sum(found.values()) == pytest.approx(1)
    sample = Sample("x", Path(clips[0]).parent, {"video": "c00.mp4"}, subtitle="I won!")
    arrays = model.data.features(model.model.transforms(), {}).clip(sample).arrays
    maker = model.data.maker(model.model.llm.tokenizer, model.model.span_lengths())
    example = maker.make(sample, arrays, question=QUESTION, encoded=False)
    batch = collate([example], pad_id=model.model.llm.tokenizer.pad_token_id or 0)
    ids = [maker.chat.answer_ids(label) for label in LABELS]
    expected = label_log_likelihoods(model.model, batch, ids)[0].double().softmax(0)
    assert list(found) == list(LABELS)
    assert list(found.values()) == pytest.approx(expected.tolist(), rel=1e-4)


def test_without_a_question_the_checkpoints_own_lists_the_labels(
    model: Pipeline, clips: list[str]
) -> None:
    own = Instruction(("Which of {labels}?",), "{emotion}", allowed=("x", "y"))
    asking = replace(model, data=replace(model.data, instructions={"label": own}))
    asked = f"Which of {', '.join(LABELS)}?"
    assert asking.likelihoods(clips[2], LABELS) == model.likelihoods(
        clips[2], LABELS, question=asked
    )
    none = replace(model, data=replace(model.data, instructions={}))
    with pytest.raises(ConfigError, match="none that lists labels"):
        none.likelihoods(clips[2], LABELS)


def test_the_usual_questions_are_the_checkpoints_own(model: Pipeline) -> None:
    asked = model.usual()
    assert list(asked) == ["label", "open_vocabulary", "describe"], "not those about a face alone"
    long = Instruction(("{labels}?",), "{mood}", allowed=("非常焦虑而且疲惫", "x"))
    turn = Instruction(("What of {speaker}?",), "{emotion}")
    data = replace(model.data, instructions={"mood": long, "turn": turn})
    assert replace(model, data=data).usual() == {"mood": ("非常焦虑而且疲惫, x?", 96)}
    short = replace(model.data, instructions={"label": replace(long, answer="{emotion}")})
    assert replace(model, data=short).usual()["label"][1] == 25, "a token a byte, and the end"


def test_weights_are_loaded_once_however_much_is_asked(
    folder: Path, clips: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    begin = LanguageModel.__init__

    @functools.wraps(begin)  # its signature is the schema of a configuration
    def counted(self: LanguageModel, *given: Any, **more: Any) -> None:
        made.append("llm")
        begin(self, *given, **more)

    monkeypatch.setattr(LanguageModel, "__init__", counted)
    loaded = affect_mllm.load(folder)
    for _ in range(2):
        loaded.ask(clips[:1], QUESTION, max_new_tokens=1)
        loaded.likelihoods(clips[0], LABELS, question=QUESTION)
    assert made == ["llm"]


def test_the_language_model_is_in_the_dtype_that_is_asked_for(folder: Path) -> None:
    assert affect_mllm.load(folder).model.llm.dtype == torch.float32
    half = affect_mllm.load(folder, dtype="bfloat16")
    assert half.model.llm.dtype == torch.bfloat16
    assert half.ask([None], QUESTION, subtitle="I won!", max_new_tokens=1)[0].modalities == (
        "text",
    )
    with pytest.raises(ConfigError, match="dtype"):
        affect_mllm.load(folder, dtype="float7")


def test_all_clips_that_cannot_be_read_are_named(
    model: Pipeline, clips: list[str], tmp_path
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    bad = [str(tmp_path / "none.mp4"), clips[0], str(tmp_path / "text.mp4")]
    with pytest.raises(DataError, match=r"2 of them:(.|\n)*none\.mp4(.|\n)*text\.mp4"):
        model.ask(bad, QUESTION)


def test_wrong_use_is_said(model: Pipeline, clips: list[str]) -> None:
    with pytest.raises(ConfigError, match="a list of them"):
        model.ask(clips[0], QUESTION)
    with pytest.raises(ConfigError, match="2 of them"):
        model.ask(clips, QUESTION, subtitle=["a", "b"])
    with pytest.raises(ConfigError, match="neither a clip nor a subtitle"):
        model.ask([None], QUESTION)
    for labels in ([], ["a", "a"]):
        with pytest.raises(ConfigError, match="labels"):
            model.likelihoods(clips[0], labels, question=QUESTION)


PLUGIN = """
from affect_mllm.media.image import ImageTransform

class Darker(ImageTransform):
    def __call__(self, images):
        return super().__call__(images // 2)
"""


def test_a_checkpoint_with_a_plugins_class_is_trained_and_used_by_who_admits_it(
    tiny, tmp_path: Path, clips: list[str], monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (tmp_path / "own_pictures.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    more = ["model.encoders.visual.transform._target_=own_pictures.Darker",
            f"data.cache_dir={tmp_path / 'features'}"]  # fmt: skip
    more += [f"stages.{stage}.steps=1" for stage in ("align", "emotion", "instruct")]
    overrides = tiny.overrides(tmp_path / "run", *more)
    given = [*overrides, "plugins=[own_pictures]"]
    with pytest.raises(ConfigError, match="outside affect_mllm"):
        train(overrides)
    assert train(given) == 0
    final = tmp_path / "run/instruct/final"
    with pytest.raises(ConfigError, match="outside affect_mllm"):
        affect_mllm.load(final)
    loaded = affect_mllm.load(final, plugins=["own_pictures"])
    assert type(loaded.model.transforms()["frame"]).__name__ == "Darker"
    (answer,) = loaded.ask(clips[:1], QUESTION, max_new_tokens=2)
    predict = ["predict", clips[0], "--checkpoint", str(final), "--question", QUESTION, "--json"]
    capsys.readouterr()
    assert left([*predict, "--plugins", "own_pictures"]) == 0
    assert json.loads(capsys.readouterr().out)["modalities"] == list(answer.modalities)
    run = [f"checkpoint={final}", "benchmark=own_clips", f"run_dir={tmp_path}", "max_new_tokens=2"]
    assert left(["eval", *run, "plugins=[own_pictures]"]) == 0
    assert left(["describe", *given, "--json"]) == 0
    assert left(predict) == left(["eval", *run]) == left(["describe", *overrides]) == 2


def left(words: list[str]) -> int:
    with pytest.raises(SystemExit) as leave:
        main(words)
    return int(leave.value.code or 0)


class Hub:
    """The Hub's interface, in a folder."""

    root: Path

    def __init__(self, token: str | None = None) -> None:
        assert token == "secret"

    def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> None:
        assert (private, exist_ok) == (True, True)
        (self.root / repo_id).mkdir(parents=True)

    def create_commit(self, repo_id: str, operations: Any, *, commit_message: str) -> Any:
        for each in operations:
            given, path = each.path_or_fileobj, self.root / repo_id / each.path_in_repo
            path.write_bytes(given) if isinstance(given, bytes) else shutil.copy(given, path)
        return huggingface_hub.CommitInfo(
            commit_url=f"https://huggingface.co/{repo_id}/commit/1", commit_message=commit_message,
            commit_description="", oid="1",
        )  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Hub.root = tmp_path / "hub"

    def download(repo_id: str, *, allow_patterns: list[str]) -> str:
        if not (Hub.root / repo_id).is_dir():
            raise RepositoryNotFoundError.__new__(RepositoryNotFoundError)
        found = tmp_path / "cache"
        found.mkdir()
        for path in (Hub.root / repo_id).iterdir():
            if path.name in allow_patterns:
                shutil.copy(path, found)
        return str(found)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return Hub.root


def test_a_checkpoint_goes_to_the_hub_and_comes_back(
    tiny, tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFECT_ASSETS_DIR", str(tiny.root))
    cfg = tiny.cfg.copy()
    for node, name in ((cfg.model.llm, "llm"), (cfg.model.encoders.visual, "vision"),
                       (cfg.model.encoders.audio, "whisper")):  # fmt: skip
        node.model = f"asset:{name}"
    mine = affect_mllm.load(checkpoint(tmp_path / "mine", cfg))
    url = mine.push_to_hub("someone/feelings", private=True, token="secret")
    assert url == "https://huggingface.co/someone/feelings/commit/1"
    assert sorted(os.listdir(hub / "someone/feelings")) == [
        "README.md", "config.yaml", "meta.json", "trainable.safetensors",
    ]  # fmt: skip
    card = (hub / "someone/feelings/README.md").read_text()
    assert 'affect_mllm.load("someone/feelings")' in card
    assert "AutoModel" not in card
    theirs = affect_mllm.load("someone/feelings")
    assert theirs.name == mine.name == store.checkpoint_hash(tmp_path / "cache")
    one, two = (m.ask([None], QUESTION, subtitle="Hm.", max_new_tokens=4) for m in (mine, theirs))
    assert one == two


def test_parts_that_nobody_else_has_are_not_uploaded(model: Pipeline, hub: Path) -> None:
    with pytest.raises(CheckpointError, match=r"folders of this machine(.|\n)*affect-mllm export"):
        model.push_to_hub("someone/feelings", private=True, token="secret")
    assert not hub.exists()


def test_a_folder_that_is_nearly_there_is_no_repository(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs/final").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="runs/final is there: was it meant"):
        affect_mllm.load("runs/finall")


def test_a_repository_that_is_not_there_is_said(hub: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder, and no repository of the Hub"):
        affect_mllm.load("nobody/nothing")
