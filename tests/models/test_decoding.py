"""Answers end where training ends them, and are greedy whatever the LLM's folder says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from affect_mllm import config
from affect_mllm.data.chat import Chat, ChatFormat, MarkedTurns
from affect_mllm.eval.generate.asking import Asker
from affect_mllm.eval.generate.question import Question
from affect_mllm.models import decoding
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.llm.prompt import Prompt
from affect_mllm.types import Sample
from tests.models import talker

ROW = Sample("said", Path(), subtitle="you went behind my back")
# What published folders have: each of them changes what "do_sample=False" generates.
OWN = {"min_new_tokens": 9, "repetition_penalty": 50.0, "no_repeat_ngram_size": 1, "num_beams": 3}


def spoken(llm: LanguageModel, chat: Chat, *, end_id: int | None, tokens: int = 9) -> str:
    """The answer to ROW's words, without a model around the LLM."""
    from affect_mllm.data.template import Turn

    ids = torch.tensor([chat.render([Turn("user", [str(ROW.subtitle)])], {}).input_ids])
    places = torch.arange(ids.shape[1]).expand_as(ids)
    prompt = Prompt(llm.embed(ids), places, torch.ones_like(ids, dtype=torch.bool))
    return chat.answer_text(llm.answers(prompt, max_new_tokens=tokens, end_id=end_id)[0])


@pytest.mark.parametrize(
    ("chat", "family", "kind", "tied", "dtype"),
    [
        (ChatFormat, "chatml", "byte-level", True, "float32"),
        (ChatFormat, "gemma", "sentencepiece of old", False, "bfloat16"),
        (ChatFormat, "phi", "sentencepiece", True, "bfloat16"),
        (ChatFormat, "qwen3", "byte-level", False, "float32"),
    ],
)
def test_an_answer_ends_at_the_chats_end_of_turn(tmp_path, chat, family, kind, tied, dtype) -> None:
    talker.save(tmp_path, chat, family, kind, tied=tied)
    llm = LanguageModel(str(tmp_path), dtype=dtype).eval()
    made = chat(llm.tokenizer)
    assert made.end_id != llm.tokenizer.eos_token_id
    assert spoken(llm, made, end_id=made.end_id) == talker.ANSWER
    assert spoken(llm, made, end_id=None) != talker.ANSWER, "it does not ramble: this shows nothing"


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """The same LLM with and without a generation_config of its own."""
    root = tmp_path_factory.mktemp("talkers")
    for name, own in (("plain", {}), ("opinionated", {**OWN, "do_sample": True, "top_p": 0.5})):
        talker.save(root / name, ChatFormat, "chatml", "byte-level", tied=True, **own)
    return {path.name: path for path in root.iterdir()}


def asker_of(tiny, folder: Path) -> Asker:
    node = tiny.cfg.model.copy()
    node.llm.model = str(folder)
    torch.manual_seed(0)
    model = config.build(node).eval()
    features = replace(tiny.data, cache_dir=None).features(model.transforms(), {})
    return Asker(model, tiny.maker(model), features, "abc", max_new_tokens=12)


def test_the_folders_generation_config_does_not_govern_and_is_named_once(
    tiny, folders, monkeypatch
) -> None:
    said: list[str] = []
    decoding._say.cache_clear()
    monkeypatch.setattr(decoding.LOGGER, "info", lambda form, *given: said.append(form % given))
    for name in ("plain", "opinionated", "opinionated"):
        asker = asker_of(tiny, folders[name])
        (row,) = asker.answer([ROW], Question("Which emotion?"))
        assert row["response"] == talker.ANSWER, name
        assert "greedy up to <|im_end|>, at most 12 tokens" in row["data"]
    named = [line for line in said if "generation_config" in line]
    assert len(named) == 1, named
    assert str(folders["opinionated"]) in named[0]
    assert all(f"{key}={value}" in named[0] for key, value in OWN.items())
    assert "eos_token_id" not in named[0]


def test_another_way_of_decoding_is_another_stamp(tiny, folders) -> None:
    asker = asker_of(tiny, folders["plain"])
    question = Question("Which emotion?")
    marked = MarkedTurns(asker.model.llm.tokenizer)
    stamps = {
        str(sorted(each.stamp(question).items()))
        for each in (
            asker,
            replace(asker, max_new_tokens=13),
            replace(asker, labels=("sad", "happy")),
            replace(asker, maker=replace(asker.maker, chat=marked, prompt=_without_system(asker))),
        )
    }
    assert len(stamps) == 4


def _without_system(asker: Asker):
    return replace(asker.maker.prompt, system="")


def test_marked_turns_end_at_eos_whatever_the_folder_says(tmp_path) -> None:
    talker.save(tmp_path, MarkedTurns, "chatml", "byte-level", tied=False, min_new_tokens=9)
    llm = LanguageModel(str(tmp_path), dtype="float32").eval()
    llm.net.generation_config.eos_token_id = 3
    chat = MarkedTurns(llm.tokenizer)
    assert chat.end_id == llm.tokenizer.eos_token_id
    assert spoken(llm, chat, end_id=chat.end_id) == talker.ANSWER
