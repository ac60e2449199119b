"""Several answers behind one prompt: each is what it is in a row of its own.

The oracle is one row an answer, whose prompt is computed again: states, losses, gradients. And the
tests would notice a wrong mask or wrong positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from affect_mllm.borders import Borders
from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example, TooLong
from affect_mllm.data.template import Conversation
from affect_mllm.models.llm.attention import choose
from affect_mllm.models.llm.blocked import Blocked, Rule
from affect_mllm.models.llm.masks import branched
from affect_mllm.train.loss.answers import Answers, scored
from affect_mllm.types import Batch, DataError, Sample
from tests import tiny as parts

ANSWERS = ("happy", "sad and tired and slow", "no", "calm or bored, or neither of them")
SEEN = (("face", "audio", "text"), ("text",), ("audio",))


@pytest.fixture(scope="module")
def model(tiny):
    """Away from the neutral start, where a wrong gradient may be zero."""
    made = tiny.model("sdpa")
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            trains = name.startswith(("compressors.", "fusion.")) or "lora_" in name
            parameter.requires_grad_(trains)
            if trains:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def asked(tiny, model, answers: Sequence[Sequence[str] | str]) -> list[Example]:
    """An example a list of answers, each about other media."""
    made = [parts.examples(tiny, model, SEEN, answer=each) for each in answers]
    return [own[number % len(SEEN)] for number, own in enumerate(made)]


@pytest.fixture(scope="module")
def forked(tiny, model) -> list[Example]:
    return asked(tiny, model, [ANSWERS, ANSWERS[:2], "alone", ANSWERS[1:]])


@pytest.fixture(scope="module")
def flat(tiny, model, forked) -> list[Example]:
    """The same with one example an answer, in the order of examples and answers."""
    rows = []
    for number, answers in enumerate([ANSWERS, ANSWERS[:2], ("alone",), ANSWERS[1:]]):
        for answer in answers:
            rows.append(asked(tiny, model, [answer] * (number + 1))[number])
    return rows


def test_ids_are_those_of_the_prompt_and_of_each_answer(forked, flat) -> None:
    rows = iter(flat)
    for example in forked:
        end = len(example) - sum(example.answers)
        for length in example.answers or (0,):
            alone = next(rows)
            if not example.answers:
                assert alone.input_ids == example.input_ids
                continue
            ids = example.input_ids[: len(example) - sum(example.answers)]
            assert alone.input_ids == ids + example.input_ids[end : end + length]
            assert alone.labels == [-100] * len(ids) + example.labels[end : end + length]
            end += length


def logps(model, batch: Batch) -> tuple[Answers, torch.Tensor]:
    found = model(batch, scored)
    return found.answers, found.logps


def by_answer(model, examples, row_tokens: int) -> dict[tuple[int, int], torch.Tensor]:
    batch = collate(examples, pad_id=0, row_tokens=row_tokens)
    answers, tokens = logps(model, batch)
    each = tokens.split(list(answers.lengths))
    return dict(zip(zip(answers.examples, answers.numbers, strict=True), each, strict=True))


@pytest.mark.parametrize("attention", ["sdpa", "eager", "blocked"])
@pytest.mark.parametrize("row_tokens", [0, 400])
def test_log_probabilities_and_gradients_are_those_of_one_row_an_answer(
    tiny, model, forked, flat, monkeypatch, attention: str, row_tokens: int
) -> None:
    name = choose(attention)
    monkeypatch.setattr(model.llm, "attention", name)
    monkeypatch.setattr(model.llm.net.config, "_attn_implementation", name)
    keys = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (2, 0), (3, 0), (3, 1), (3, 2)]
    factors = {key: 0.3 + 0.1 * n for n, key in enumerate(keys)}
    names = [n for n, p in model.named_parameters() if p.requires_grad]

    def gradient() -> dict[str, torch.Tensor]:
        own = dict(model.named_parameters())
        found = {n: own[n].grad.clone() for n in names if own[n].grad is not None}
        model.zero_grad()
        return found

    got = by_answer(model, forked, row_tokens)
    assert sorted(got) == [key for key in keys if key != (2, 0)], "one answer is no branch"
    sum(factors[key] * value.sum() for key, value in got.items()).backward()
    shared = gradient()
    # As an example with one answer is scored: by its only branch.
    rows = [example.answered([], None) if example.answers else _only(example) for example in flat]
    expected = by_answer(model, rows, 0)
    alone = {key: expected[number, 0] for number, key in enumerate(keys)}
    sum(factors[key] * alone[key].sum() for key in got).backward()
    apart = gradient()
    for key, value in got.items():
        torch.testing.assert_close(value, alone[key], rtol=1e-5, atol=2e-5)
    assert shared.keys() == apart.keys()
    largest = max(float(each.abs().max()) for each in apart.values())
    for name, grad in apart.items():
        torch.testing.assert_close(shared[name], grad, rtol=1e-4, atol=1e-5 * largest, msg=name)


def _only(example: Example) -> Example:
    """The same as a prompt with one branch."""
    ids = [label for label in example.labels if label != -100]
    prompt = len(example) - len(ids)
    asked = replace(example, input_ids=example.input_ids[:prompt], labels=[-100] * prompt)
    return asked.answered([ids])


@pytest.mark.parametrize("broken", ["mask", "positions"])
def test_a_wrong_mask_or_position_is_noticed(tiny, model, forked, monkeypatch, broken) -> None:
    right = by_answer(model, forked, 0)
    batch = collate(forked, pad_id=0)
    if broken == "mask":
        wrong = replace(batch, branches=torch.where(batch.branches >= 0, 0, -1), host=batch)
    else:
        place = torch.arange(batch.position_ids.shape[1]).expand_as(batch.position_ids)
        wrong = replace(batch, position_ids=place, host=batch)
    _, tokens = logps(model, wrong)
    assert (tokens - torch.cat([*right.values()])).abs().max() > 1e-3


@pytest.mark.parametrize("window", [None, 3, 6])
def test_blocked_attention_of_a_fork_is_that_under_a_mask(window: int | None) -> None:
    """A prompt of 200 with answers of 1, 150 and 7 beside a plain example, in float64."""
    torch.manual_seed(0)
    forks = ((200, 1, 150, 7), (9,))
    cuts = [0, 358, 367]
    query = torch.randn(4, 367, 8, dtype=torch.float64, requires_grad=True)
    key, value = (torch.randn(2, 367, 8, dtype=torch.float64, requires_grad=True) for _ in "kv")
    segment = torch.tensor([0] * 358 + [1] * 9)
    branch = torch.tensor([-1] * 200 + [0] + [1] * 150 + [2] * 7 + [-1] * 9)
    place = torch.tensor([*range(200), 200, *range(200, 350), *range(200, 207), *range(9)])
    seen = (segment[:, None] == segment) & torch.ones(367, 367, dtype=torch.bool).tril()
    seen &= (branch < 0) | (branch[:, None] == branch)
    if window is not None:
        seen &= place[:, None] - place < window
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, scale=0.5, enable_gqa=True
    )
    got = Blocked.apply(query, key, value, cuts, Rule(0.5, True, window), forks)
    torch.testing.assert_close(got, expected)
    weight = torch.randn_like(got)
    for mine, theirs in zip(
        torch.autograd.grad((got * weight).sum(), (query, key, value)),
        torch.autograd.grad((expected * weight).sum(), (query, key, value)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)
    assert Borders.of(segment[None], branch[None]).forks == forks
    assert Borders.of(segment[None], branch[None]).counted == place.tolist()


def test_a_window_counts_from_the_prompt_s_end_in_masks_too() -> None:
    segments = torch.tensor([[0] * 8 + [-1]])
    branches = torch.tensor([[-1, -1, -1, 0, 0, 1, 1, 1, -1]])
    borders = Borders.of(segments, branches)
    both = branched(segments, branches, borders, {"sliding_window": 2})
    (mask,) = (both["sliding_attention"][0, 0],)
    assert mask[5].nonzero().flatten().tolist() == [2, 5], "the second answer's first token"
    assert mask[7].nonzero().flatten().tolist() == [6, 7]


def test_what_does_not_fit_beside_its_longest_answer_is_too_long(tiny, model) -> None:
    maker = tiny.maker(model)
    row = Sample("a", tiny.root, subtitle="Well.")

    def made(limit: int) -> Example:
        asker = replace(maker, max_tokens=limit)
        return asker.make(row, {}, question=parts.QUESTION, answer=ANSWERS)

    whole = made(500)
    longest = len(whole) - sum(whole.answers) + max(whole.answers)
    assert made(longest) == whole
    assert made(longest - 1).cut == ("subtitle",)
    with pytest.raises(TooLong):
        made(max(whole.answers))


def test_a_conversation_s_last_answer_stands_beside_another(tiny, model) -> None:
    turns = [("user", "Well?"), ("assistant", "good"), ("user", "And?"), ("assistant", "sad")]
    messages = tuple({"role": role, "content": text} for role, text in turns)
    row = Sample("a", tiny.root, messages=messages)
    maker = tiny.maker(model)
    example = maker.make(row, {}, question=None, answer="happy")
    alone = maker.make(row, {}, question=None)
    first, second = example.answers
    assert example.input_ids[: -second or None] == alone.input_ids
    assert set(example.labels[: -first - second]) == {-100}
    assert second == len(maker.chat.answer_ids("happy"))
    media = ({"role": "user", "content": "?"}, {"role": "assistant", "content": "<image>"})
    shown = Sample("b", tiny.root, {"image": "x.png"}, messages=media)
    with pytest.raises(DataError, match="medium in its last answer"):
        maker.make(shown, {"image": None}, question=None, answer="happy")
    assert Conversation().allowed == ()
