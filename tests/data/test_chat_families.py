"""ChatFormat against transformers' own ids, for eight families and four kinds of tokenizer."""

from __future__ import annotations

import random
from itertools import groupby
from typing import Any

import pytest

from affect_mllm import config
from affect_mllm.data.chat import ChatFormat
from affect_mllm.data.rendered import IGNORED
from affect_mllm.data.template import Media, Turn
from affect_mllm.types import ConfigError, Placeholder
from tests.data.chat_families import FAMILIES, KINDS, OFF, tokenizer

SYSTEM = ("system", "Be brief.")
TEXTS = [
    ("What does she feel?", "happy"),
    ("Q", "!"),
    ("  spaces at its ends\n", " joy, calm\n"),
    ("two\n\nparagraphs\n- a list", '"why" 12 3.5'),
    ("She says: [INST] x [/INST] ▁", "情绪是happy。"),
    ("😀é", "\u200bI'm fine"),
    ("", "<think>"),
]
ALPHABET = ["happy", " ", " ", "\n", "\n\n", "a", "[", "]", "/", "<", ">", "|", "1", ".", "é", "😀"]


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture
def chat(family: str, kind: str) -> ChatFormat:
    return ChatFormat(tokenizer(family, kind), FAMILIES[family].arguments)


def turns_of(*said: tuple[str, str]) -> list[Turn]:
    return [Turn(role, [text]) for role, text in said]  # type: ignore[arg-type]


def own(chat: ChatFormat, *said: tuple[str, str], asked: bool) -> list[int]:
    """What transformers makes of the chat, today."""
    messages = [{"role": role, "content": text.strip()} for role, text in said]
    return chat.tokenizer.apply_chat_template(
        messages, add_generation_prompt=asked, return_dict=False, **chat.arguments
    )


def same(chat: ChatFormat, *said: tuple[str, str]) -> None:
    """Ours are the template's own, up to the last end of a turn."""
    asked = said[-1][0] == "user"
    ours, theirs = chat.render(turns_of(*said), {}).input_ids, own(chat, *said, asked=asked)
    if asked:
        assert ours == theirs
        return
    assert ours == theirs[: len(ours)]
    assert ours[-1] == chat.end_id
    assert chat.end_id not in theirs[len(ours) :]


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_ids_are_the_templates_own(chat, number) -> None:
    (question, answer), (question2, answer2) = TEXTS[number], TEXTS[number - 1]
    first = [("user", question), ("assistant", answer)]
    more = [("user", question2), ("assistant", answer2)]
    same(chat, first[0])
    same(chat, *first)
    same(chat, *first, more[0])
    same(chat, *first, *more)


def test_a_system_message_stands_where_the_template_puts_it(family, chat) -> None:
    said = [("user", "Q"), ("assistant", "A b"), ("user", "And he?"), ("assistant", "calm")]
    same(chat, SYSTEM, said[0])
    same(chat, SYSTEM, *said[:3])
    if family == "mistral":  # which loses it behind an answer: there stands what was asked
        asked = own(chat, SYSTEM, said[0], asked=True)
        whole = chat.render(turns_of(SYSTEM, *said[:2]), {}).input_ids
        assert whole == asked + chat.answer_ids("A b")
        return
    same(chat, SYSTEM, *said[:2])
    same(chat, SYSTEM, *said)


def test_ids_of_random_texts_are_the_templates_own(chat) -> None:
    rng = random.Random(5)

    def text() -> str:
        return "".join(rng.choice(ALPHABET) for _ in range(rng.randint(0, 12)))

    for _ in range(10):
        said = [("user", text()), ("assistant", text()), ("user", text()), ("assistant", text())]
        same(chat, *said[: rng.randint(1, 4)])


def test_what_is_learnt_is_what_a_prompt_lacks(family, chat) -> None:
    """Behind a prompt stands what is learnt, which ends with the one end of a turn."""
    said = [("user", "Q"), ("assistant", "happy"), ("user", "And he?"), ("assistant", "so calm")]
    for length in (2, 4):
        ids, labels, _ = chat.render(turns_of(*said[:length]), {})
        asked = chat.render(turns_of(*said[: length - 1]), {}).input_ids
        assert ids == asked + chat.answer_ids(said[length - 1][1])
        learnt = [list(g) for k, g in groupby(labels, lambda each: each != IGNORED) if k]
        assert len(learnt) == length // 2
        assert labels[len(asked) :] == ids[len(asked) :]
        for part, (_, answer) in zip(learnt, said[1::2], strict=False):
            assert part[-1] == chat.end_id
            assert part.count(chat.end_id) == 1
            text = chat.tokenizer.decode(part, skip_special_tokens=True)
            assert chat.answer_text(text) == answer
    assert chat.tokenizer.convert_ids_to_tokens(chat.end_id) == FAMILIES[family].end


def test_what_looks_like_a_special_token_in_a_row_stays_text(family, chat) -> None:
    names = [*FAMILIES[family].special, *FAMILIES[family].bare]
    evil = "no" + "".join(names) + "yes " + " ".join(names)
    special = set(chat.tokenizer.convert_tokens_to_ids(names))
    good, bad = (
        chat.render(turns_of(SYSTEM, ("user", text), ("assistant", text)), {})
        for text in ("fine", evil)
    )
    count = [[each in special for each in ids].count(True) for ids in (good[0], bad[0])]
    assert count[0] == count[1]
    assert [label for label in bad.labels if label in special] == [chat.end_id]
    if chat.tokenizer.unk_token_id not in bad.input_ids:
        assert chat.tokenizer.decode(bad.input_ids).count(evil) == 2
    told = chat.render(turns_of(("system", evil), ("user", "fine"), ("assistant", "fine")), {})
    assert [each in special for each in told.input_ids].count(True) == count[0]


def test_media_stand_inside_contents_and_leave_the_text_as_it_is(chat) -> None:
    """Where a medium stands, a token of its own stands: as with any placeholder of transformers."""
    content = ["See ", Media("face"), ",\nhear ", Media("audio")]
    place = {"face": Placeholder(3, before=(1,), filler=7), "audio": Placeholder(2, filler=7)}
    rendered = chat.render([Turn("user", content), Turn("assistant", ["joy"])], place)
    assert [(name, size) for name, _, size in rendered.spans] == [("face", 3), ("audio", 2)]
    for _, start, size in rendered.spans:
        assert rendered.input_ids[start : start + size] == [7] * size
    kept: list[int] = list(rendered.input_ids)
    for name, start, size in reversed(rendered.spans):
        del kept[start - len(place[name].before) : start + size]
    marked = tokenizer_with_marker(chat.tokenizer)
    text = "".join(part if isinstance(part, str) else "<marker>" for part in content)
    theirs = own(
        ChatFormat(marked, chat.arguments), ("user", text), ("assistant", "joy"), asked=False
    )
    marker = marked.convert_tokens_to_ids("<marker>")
    assert kept == [each for each in theirs if each != marker][: len(kept)]


def tokenizer_with_marker(given: Any) -> Any:
    import copy

    marked = copy.deepcopy(given)
    marked.add_tokens(["<marker>"], special_tokens=True)
    return marked


def test_thoughts_of_a_rows_own_take_the_place_of_empty_ones(kind) -> None:
    chat = ChatFormat(tokenizer("qwen3", kind))
    answer = "<think>\nShe smiles.\n</think>\n\nhappy"
    same(chat, ("user", "Q"), ("assistant", answer))
    asked = chat.render(turns_of(("user", "Q")), {}).input_ids
    labels = chat.render(turns_of(("user", "Q"), ("assistant", answer)), {}).labels
    assert [each for each in labels if each != IGNORED] == labels[len(asked) :]


def test_a_system_message_may_be_for_the_template_itself(kind) -> None:
    chat = ChatFormat(tokenizer("smollm3", kind))
    same(chat, ("system", "Be brief. /no_think"), ("user", "Q"))
    same(chat, ("system", "Be brief. /no_think"), ("user", "Q"), ("assistant", "A"))


def test_a_prompt_that_ends_in_a_space_leaves_it_to_the_answer() -> None:
    """SentencePiece joins a space with the word behind it, in training as in an answer."""
    made = tokenizer("llama2", "sentencepiece")
    made.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}"
        "{{ 'USER: ' + m['content'] + ' BOT: ' }}"
        "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
    )
    chat = ChatFormat(made)
    asked, whole = turns_of(("user", "Q")), turns_of(("user", "Q"), ("assistant", "happy"))
    prompt, rendered = chat.render(asked, {}).input_ids, chat.render(whole, {})
    assert rendered.input_ids == prompt + chat.answer_ids("happy")
    same(chat, ("user", "Q"), ("assistant", "happy"))
    assert chat.answer_ids("happy") == [each for each in rendered.labels if each != IGNORED]


@pytest.mark.parametrize("end", ["", "\\n", " stop"])
def test_a_template_without_an_end_of_turn_is_refused(end) -> None:
    made = tokenizer("chatml", "byte-level")
    made.chat_template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '" + end + "' }}{% endfor %}"
    )
    with pytest.raises(ConfigError, match=r"ends an answer with[\s\S]*chat@data\.chat=affectgpt"):
        ChatFormat(made)


@pytest.mark.parametrize("name", ["enable_thinkin", "add_generation_prompt", "thinking"])
def test_an_argument_that_the_template_does_not_read_is_refused(name) -> None:
    with pytest.raises(ConfigError, match=rf"data\.chat\.arguments\.{name}"):
        ChatFormat(tokenizer("qwen3", "byte-level"), {name: False})


@pytest.mark.parametrize("date", ["yesterday", "2026-02-30"])
def test_a_date_that_is_none_is_refused(date) -> None:
    with pytest.raises(ConfigError, match=r"data\.chat\.date"):
        ChatFormat(tokenizer("smollm3", "byte-level"), date=date)


@pytest.mark.parametrize(
    "given",
    [
        ["+chat@data.chat=no_thinking"],
        ["+chat@data.chat=template", "+data.chat.arguments.enable_thinking=false"],
    ],
)
def test_arguments_and_date_are_set_on_the_command_line(given) -> None:
    overrides = ["experiment=demo", *given, "data.chat.date=2026-01-31"]
    cfg = config.checked(config.compose("train", overrides))
    for family in ("qwen3", "smollm3"):
        made = tokenizer(family, "byte-level")
        chat = config.build(cfg.data.chat)(made)
        ids = chat.render(turns_of(("user", "Q")), {}).input_ids
        assert ids == ChatFormat(made, OFF, "2026-01-31").render(turns_of(("user", "Q")), {})[0]
        said = made.decode(ids)
        assert said.endswith("<think>\n\n</think>\n" + "\n" * (family == "qwen3"))
        assert ("31 January 2026" in said) == (family == "smollm3")
