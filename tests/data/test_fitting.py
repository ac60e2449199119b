"""Examples that are too long: subtitles shrink, media spans and answers never do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affect_mllm.data.chat import IGNORED, Chat, ChatFormat, MarkedTurns
from affect_mllm.data.example import ExampleMaker, TooLong
from affect_mllm.data.template import Prompt
from affect_mllm.types import ConfigError, Sample
from tests.data import tokenizers

LENGTHS = {"face": 7, "audio": 3, "multi": 1}
MEDIA = {"face": np.zeros((2, 3)), "audio": np.zeros((2, 3))}
ASKED = {"question": "What does she feel?", "answer": "joy and pride"}
TOKENIZER = tokenizers.tokenizer("qwen25")
CHATS: list[Chat] = [ChatFormat(TOKENIZER), MarkedTurns(TOKENIZER)]


def maker(chat: Chat, max_tokens: int) -> ExampleMaker:
    return ExampleMaker(chat, Prompt(system=""), LENGTHS, fused=True, max_tokens=max_tokens)


def sample(subtitle: str | None) -> Sample:
    return Sample("row7", Path(), subtitle=subtitle)


@settings(max_examples=60)
@given(
    st.sampled_from(CHATS),
    st.text(st.sampled_from("ab 好é#\n<|im_end|>"), min_size=1, max_size=120),
    st.integers(60, 260),
)
def test_what_is_kept_is_whole(chat: Chat, subtitle: str, limit: int) -> None:
    """Spans, question and answer as without a subtitle, and the longest beginning that fits."""
    short = maker(chat, 10_000).make(sample(None), MEDIA, **ASKED)
    if limit < len(short):
        with pytest.raises(TooLong, match=rf"row row7: {len(short)} tokens(.|\n)*max_tokens"):
            maker(chat, limit).make(sample(subtitle), MEDIA, **ASKED)
        return
    full = maker(chat, 10_000).make(sample(subtitle), MEDIA, **ASKED)
    example = maker(chat, limit).make(sample(subtitle), MEDIA, **ASKED)
    assert len(example) <= limit
    assert example.cut == (("subtitle",) if len(full) > limit else ())
    assert [(s.modality, s.length) for s in example.spans] == [
        (s.modality, s.length) for s in full.spans
    ]
    for made in (example, full):
        learnt = [label for label in made.labels if label != IGNORED]
        assert learnt == chat.answer_ids("joy and pride")
        assert made.input_ids[-len(learnt) :] == learnt
    if not example.cut:
        assert example.input_ids == full.input_ids


def test_a_subtitle_is_cut_at_a_word_where_it_has_words() -> None:
    chat = CHATS[0]
    words = " ".join(f"word{i}" for i in range(60))
    full = maker(chat, 10_000).make(sample(words), MEDIA, **ASKED)
    example = maker(chat, len(full) - 100).make(sample(words), MEDIA, **ASKED)
    said = TOKENIZER.decode(example.input_ids)
    kept = said.split("Subtitle: ")[1].split("\n")[0]
    assert words.startswith(kept + " ")
    assert len(full) - 100 - len(example) < 12, "as much as fits, up to a word"


def test_a_prompt_to_answer_is_shortened_in_the_same_way() -> None:
    chat = CHATS[0]
    limit = len(maker(chat, 10_000).make(sample("a b " * 5), MEDIA, question="?"))
    example = maker(chat, limit).make(sample("a b " * 500), MEDIA, question="?")
    assert example.cut == ("subtitle",)
    assert set(example.labels) == {IGNORED}
    end = TOKENIZER.decode(example.input_ids).split("\n", 1)[1]
    assert end.endswith("\n?<|im_end|>\n<|im_start|>assistant\n")


def test_a_modality_without_a_line_in_the_prompt_is_refused() -> None:
    prompt = Prompt(order=("face", "multi"))
    made = ExampleMaker(CHATS[0], prompt, LENGTHS, fused=True)
    with pytest.raises(ConfigError, match="no line for audio"):
        made.make(sample("x"), MEDIA, question="?")
