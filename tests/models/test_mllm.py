"""The whole model: what a sample gets depends on that sample alone, and on all of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.models.llm import masks as llm_module
from affect_mllm.models.llm.masks import block_causal_mask
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.types import ConfigError
from tests import tiny as parts
from tests.tiny import logits

KINDS = [
    ("face", "audio", "text"),
    ("audio", "text"),
    ("text",),
    ("face",),
    ("image", "audio"),
    ("frame", "face", "text"),
]


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def model(tiny, request) -> AffectMLLM:
    """A model whose experts differ and whose gates and LoRA are not at their neutral start."""
    made = tiny.model(attention=request.param)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.startswith(("compressors.", "fusion.")) or "lora_B" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


@pytest.fixture(scope="module")
def made(tiny, model) -> list[Example]:
    return parts.examples(tiny, model, KINDS)


def alone(model: AffectMLLM, example: Example) -> torch.Tensor:
    return logits(model, collate([example], pad_id=0))[0]


@pytest.mark.parametrize("row_tokens", [0, 200, 10_000])
def test_a_sample_does_not_depend_on_its_batch(model, made, row_tokens: int) -> None:
    batch = collate(made, pad_id=0, row_tokens=row_tokens)
    assert len(batch.input_ids) == {0: 6, 10_000: 1}.get(row_tokens, len(batch.input_ids))
    for example, got in zip(made, logits(model, batch), strict=True):
        expected = alone(model, example)
        assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_what_stands_in_the_padding_does_not_matter(model, made) -> None:
    padded = [logits(model, collate(made, pad_id=pad))[2] for pad in (0, 77)]
    torch.testing.assert_close(*padded)


def test_the_leak_is_seen_when_the_mask_is_replaced(model, made, monkeypatch) -> None:
    """Restarted positions alone do not keep packed examples apart."""
    monkeypatch.setattr(
        llm_module, "block_causal_mask", lambda s: block_causal_mask(torch.zeros_like(s))
    )
    batch = collate(made, pad_id=0, row_tokens=10_000)
    leaks = [
        bool((got - alone(model, example)).abs().max() > 1e-3)
        for example, got in zip(made, logits(model, batch), strict=True)
    ]
    assert sum(leaks) == len(made) - 1  # the first of a row has nobody before it


def test_block_causal_mask_by_hand() -> None:
    mask = block_causal_mask(torch.tensor([[3, 3, 5, -1]]))
    assert mask.int().tolist() == [[[[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]]]


def test_absent_sound_is_not_silence(tiny, model) -> None:
    (with_sound,) = parts.examples(tiny, model, [("face", "audio", "text")])
    (without,) = parts.examples(tiny, model, [("face", "text")])
    silent = replace(with_sound, media={**with_sound.media, "audio": 0 * with_sound.media["audio"]})
    assert len(without) < len(silent), "an absent modality takes no place in the prompt"
    last = [alone(model, example)[-2] for example in (with_sound, without, silent)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (last[one] - last[other]).abs().max() > 1e-3


@pytest.mark.parametrize("names", [("audio",), ("frame",), ("face",), ("image",), ("text",)])
def test_any_one_modality_is_enough(tiny, model, names: tuple[str, ...]) -> None:
    (example,) = parts.examples(tiny, model, [names])
    assert torch.isfinite(alone(model, example)).all()
    (prompt,) = parts.examples(tiny, model, [names], answer=None)
    answers, gates = model.generate(collate([prompt], pad_id=0), max_new_tokens=3)
    assert len(answers) == 1
    assert set(gates) == ({*names, "multi"} if names != ("text",) else set())


@pytest.mark.parametrize("name", ["face", "audio"])
def test_every_modality_changes_the_answer(tiny, model, name: str) -> None:
    (example,) = parts.examples(tiny, model, [("face", "audio", "text")])
    other = replace(example, media={**example.media, name: example.media[name][::-1] * -1.5})
    assert (alone(model, example)[-2] - alone(model, other)[-2]).abs().max() > 1e-3


def test_fusion_reaches_the_answer_apart_from_the_streams(tiny, model) -> None:
    (example,) = parts.examples(tiny, model, [("face", "audio")])
    assert {span.modality for span in example.spans} == {"face", "audio", "multi"}
    before = alone(model, example)
    weights = [layer.weight for layer in model.fusion.embed.values()]  # one may count for nothing
    with torch.no_grad():
        for weight in weights:
            weight.neg_()
    after = alone(model, example)
    with torch.no_grad():
        for weight in weights:
            weight.neg_()
    assert (after - before)[-2].abs().max() > 1e-4


def test_frozen_encoders_stay_in_eval_mode(model) -> None:
    model.train()
    try:
        assert model.llm.training
        assert model.compressors.training
        assert not any(m.training for e in model.encoders.values() for m in e.modules())
    finally:
        model.eval()


def test_encoding_in_the_batch_equals_the_cache(tiny, model) -> None:
    """Encoder inputs in the batch and states computed clip by clip give the same tokens."""
    features = tiny.data.features(model.transforms(), {})
    reading = replace(features, cache=None)
    maker = tiny.maker(model)
    by_kind: dict[bool, list[Example]] = {True: [], False: []}
    for sample in tiny.samples[:4]:
        arrays = reading.clip(sample).arrays
        for encoded, found in ((False, arrays), (True, model.encode_clip(arrays))):
            by_kind[encoded].append(
                maker.make(sample, found, question=parts.QUESTION, answer="sad", encoded=encoded)
            )
    one, two = (logits(model, collate(by_kind[kind], pad_id=0)) for kind in (True, False))
    for cached, live in zip(one, two, strict=True):
        torch.testing.assert_close(cached, live, rtol=1e-4, atol=1e-4)


def test_generating_together_equals_one_by_one(tiny, model) -> None:
    prompts = parts.examples(tiny, model, KINDS[:4], answer=None)
    together, gates = model.generate(collate(prompts, pad_id=0), max_new_tokens=8)
    single = [model.generate(collate([p], pad_id=0), max_new_tokens=8)[0][0] for p in prompts]
    assert together == single
    assert len(set(together)) > 1, "the answers are all the same: this shows nothing"
    assert set(gates["audio"]) == {0, 1}
    for weights in gates["audio"].values():
        assert set(weights) == {"general", "emotion"}
        assert sum(weights.values()) == pytest.approx(1)


def test_generation_is_what_the_logits_say(tiny, model) -> None:
    (prompt,) = parts.examples(tiny, model, [("face", "audio", "text")], answer=None)
    ids: list[int] = []
    for _ in range(6):
        grown = replace(
            prompt,
            input_ids=prompt.input_ids + ids,
            labels=prompt.labels + [-100] * len(ids),
        )
        ids.append(int(alone(model, grown)[-1].argmax()))
        if ids[-1] == model.llm.tokenizer.eos_token_id:
            break
    expected = model.llm.tokenizer.decode(ids, skip_special_tokens=True).strip()
    assert model.generate(collate([prompt], pad_id=0), max_new_tokens=6)[0] == [expected]


def test_at_the_start_lora_changes_nothing_and_can_be_switched_off(tiny) -> None:
    fresh = tiny.model()
    (example,) = parts.examples(tiny, fresh, [("text",)])
    assert fresh.llm.lora_is_zero()
    on = alone(fresh, example)
    fresh.llm.use_lora(False)
    assert torch.equal(alone(fresh, example), on)
    fresh.llm.use_lora(True)
    with torch.no_grad():
        for name, parameter in fresh.llm.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    assert not fresh.llm.lora_is_zero()
    assert not torch.allclose(alone(fresh, example), on)


def test_parts_that_do_not_fit_together_are_named(tiny) -> None:
    from affect_mllm import config

    for key, value, said in (
        ("branches", {"face": "eyes"}, "eyes"),
        ("compressors", {"visual": tiny.cfg.model.compressors.visual}, "multi"),
    ):
        node = tiny.cfg.model.copy()
        node[key] = value
        with pytest.raises(ConfigError, match=said):
            config.build(node)
