"""Answers in pieces: whatever is generated, they make the answer together."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affect_mllm.data.chat import Chat, ChatFormat, MarkedTurns
from affect_mllm.eval.generate.pieces import Pieces
from tests.data.chat_families import tokenizer


@cache
def chat_of(kind: str) -> Chat:
    if kind == "marked":
        return MarkedTurns(tokenizer("chatml", "byte-level"))
    return ChatFormat(tokenizer(*kind.split(", ")))


KINDS = ["chatml, byte-level", "qwen3, byte-level", "phi, sentencepiece", "marked"]
# Whole words, letters of several bytes, half of them, and what a chat's answer is cut at.
WORDS = ["happy", " sad", "é", "你好", "😀", "#", "##", "### more", "\n", "<think>", "</think>"]


def heard(chat: Chat, ids: list[int]) -> tuple[list[str], str]:
    """The pieces of an answer of these tokens, and the whole as it is read at its end."""
    told: list[str] = []
    pieces = Pieces(chat, ["a"], lambda row, piece: told.append(piece) is None and row == "a")
    for token in ids:
        pieces.hear([token])
    said = ids[: ids.index(chat.end_id)] if chat.end_id in ids else ids
    (text,) = chat.tokenizer.batch_decode([said], skip_special_tokens=True)
    whole = chat.answer_text(text.strip())
    pieces.end([whole])
    return told, whole


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_pieces_of_any_tokens_are_the_answer(kind: str, data: st.DataObject) -> None:
    chat = chat_of(kind)
    some = [token for word in WORDS for token in chat.tokenizer(word).input_ids]
    token = st.sampled_from(some) | st.integers(0, len(chat.tokenizer) - 1)
    told, whole = heard(chat, data.draw(st.lists(token, max_size=24)))
    assert "".join(told) == whole


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_told_before_the_end(kind: str) -> None:
    chat = chat_of(kind)
    words = "happy sad happy sad happy"
    told, whole = heard(chat, chat.answer_ids(words))
    assert whole == words
    assert len(list(filter(None, told))) > 2


def test_who_is_gone_is_told_no_more_and_stops() -> None:
    chat = chat_of("chatml, byte-level")
    told: list[tuple[str, str]] = []

    def hear(row: str, piece: str) -> bool:
        told.append((row, piece))
        return row == "stays"

    pieces = Pieces(chat, ["stays", "goes"], hear)
    (token,) = chat.tokenizer("a").input_ids
    assert pieces.hear([token, token]) == [False, True]
    assert pieces.hear([chat.end_id, token]) == [True, True]
    pieces.end(["a", "something else"])
    assert "".join(piece for row, piece in told if row == "stays") == "a"
    assert [row for row, _ in told].count("goes") == 1
