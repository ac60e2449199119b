"""Drawn answers: the same for a prompt anywhere, as often as the model says, scored as drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest

from affect_mllm.data.collate import collate
from affect_mllm.models.sample import draw, exponentials, key_of
from affect_mllm.train.loss.answers import scored
from affect_mllm.types import DataError, Drawn
from tests import tiny as parts

SEEN = (("face", "audio", "text"), ("text",), ("audio",))
MOST, ANSWERS = 9, 6


@pytest.fixture(scope="module")
def model(tiny):
    """One whose answers end now and then: its end is made likelier."""
    made = tiny.model()
    torch.manual_seed(4)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_B" in name or name.startswith("compressors."):
                parameter.add_(0.05 * torch.randn_like(parameter))
        head = made.llm.net.lm_head
        bias = torch.zeros(head.out_features)
        bias[end(tiny, made)] = 4.0
        made.llm.net.lm_head = torch.nn.Linear(head.in_features, head.out_features)
        made.llm.net.lm_head.weight, made.llm.net.lm_head.bias = (
            head.weight,
            torch.nn.Parameter(bias),
        )
    return made


def end(tiny, model) -> int:
    return tiny.maker(model).chat.end_id


def prompts(tiny, model):
    return parts.examples(tiny, model, SEEN, answer=None)


def drawn(tiny, model, examples, *, temperature: float = 1.0, most: int = MOST):
    keys = [[key_of(1, each.sample_id, n) for n in range(ANSWERS)] for each in examples]
    batch = collate(examples, pad_id=0)
    how = {"max_new_tokens": most, "end_id": end(tiny, model), "temperature": temperature}
    return draw(model, batch, keys, **how)


@pytest.fixture(scope="module")
def together(tiny, model):
    return drawn(tiny, model, prompts(tiny, model))


def test_a_prompt_has_the_same_answers_alone_in_any_batch_and_order(tiny, model, together) -> None:
    asked = prompts(tiny, model)
    for number, example in enumerate(asked):
        (alone,) = drawn(tiny, model, [example])
        assert [a.ids for a in alone] == [a.ids for a in together[number]]
    back = drawn(tiny, model, asked[::-1])[::-1]
    assert [[a.ids for a in own] for own in back] == [[a.ids for a in own] for own in together]
    assert len({a.ids for own in together for a in own}) > ANSWERS, "they differ by their keys"


def test_an_answer_ends_with_its_end_or_at_the_limit(tiny, model, together) -> None:
    stop = end(tiny, model)
    answers = [a for own in together for a in own]
    assert {a.ended for a in answers} == {True, False}
    for each in answers:
        assert each.ended == (each.ids[-1] == stop)
        assert stop not in each.ids[:-1], "nothing comes behind it"
        assert len(each.ids) == len(each.logps)
        assert each.ended or len(each.ids) == MOST


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_those_of_the_training_pass(tiny, model, temperature) -> None:
    """Cache, left padding and a shared prompt against a packed row: the same function."""
    asked = prompts(tiny, model)
    found = drawn(tiny, model, asked, temperature=temperature)
    known = Drawn((0.0,) * ANSWERS, ((),) * ANSWERS, MOST, temperature)
    rows = [
        each.answered([a.ids for a in own], known) for each, own in zip(asked, found, strict=True)
    ]
    batch = collate(rows, pad_id=0, row_tokens=400)
    with torch.no_grad():
        trained = model.train()(batch, scored)
    model.eval()
    order = zip(trained.answers.examples, trained.answers.numbers, strict=True)
    sampled = [logp for i, k in order for logp in found[i][k].logps]
    torch.testing.assert_close(trained.logps, torch.tensor(sampled), rtol=0, atol=1e-4)


def test_at_a_temperature_near_zero_it_is_the_greedy_answer(tiny, model) -> None:
    batch = collate(prompts(tiny, model), pad_id=0)
    texts, *_ = model.written(batch, max_new_tokens=MOST, end_id=end(tiny, model))
    tokenizer, stop = model.llm.tokenizer, end(tiny, model)
    for own, text in zip(
        drawn(tiny, model, prompts(tiny, model), temperature=1e-5), texts, strict=True
    ):
        assert len({a.ids for a in own}) == 1
        ids = [i for i in own[0].ids if i != stop]
        assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text


def test_tokens_come_as_often_as_their_probability_says() -> None:
    """10,000 draws of one position, by many keys and by many steps of one key."""
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0], dtype=torch.float64)
    logs = torch.log_softmax(logits / 0.8, 0)
    keys = torch.tensor([key_of("a", n) for n in range(10_000)])
    by_key = (logs - exponentials(keys, 3, 6).log()).argmax(1)
    one = torch.tensor([key_of("b")])
    by_step = torch.cat([(logs - exponentials(one, n, 6).log()).argmax(1) for n in range(10_000)])
    for tokens in (by_key, by_step):
        counts = np.bincount(tokens.numpy(), minlength=6)
        assert chisquare(counts, logs.exp().numpy() * 10_000).pvalue > 1e-4


def test_the_noise_is_exponential_and_has_no_rows_or_steps_alike() -> None:
    keys = torch.tensor([key_of(n) for n in range(50)])
    found = torch.stack([exponentials(keys, step, 400) for step in range(3)])
    assert kstest(found.flatten().numpy(), "expon").pvalue > 1e-4
    rows = found.view(-1, 400)
    apart = np.corrcoef(rows.numpy()) - np.eye(len(rows))
    assert np.abs(apart).max() < 0.3
    assert torch.equal(found[1][7:8], exponentials(keys[7:8], 1, 400))


def test_a_little_noise_in_the_logits_changes_no_token() -> None:
    """What another batch's order of additions does to them. An inverse CDF moves with every one."""
    torch.manual_seed(0)
    logits = torch.randn(2_000, 500)
    noise = exponentials(torch.tensor([key_of(n) for n in range(2_000)]), 0, 500).log()
    near = logits + 1e-5 * torch.randn_like(logits)
    one, two = ((each.log_softmax(1) - noise).argmax(1) for each in (logits, near))
    assert int((one != two).sum()) <= 2


def test_packed_prompts_are_refused(tiny, model) -> None:
    packed = collate(prompts(tiny, model), pad_id=0, row_tokens=2_000)
    with pytest.raises(DataError, match="packed prompts"):
        draw(model, packed, [[1], [2], [3]], max_new_tokens=2, end_id=2)
