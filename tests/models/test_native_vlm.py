"""The native VLM: at step 0 the VLM it is made of, and a sample's own whatever its batch."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.models.vlm.native_vlm import NativeVLM
from affect_mllm.train.plan.trainable import Group, select
from affect_mllm.types import Batch, CheckpointError, ConfigError, DataError
from tests import tiny_vlm as parts

NAMES = ("wide", "video", "words", "high")
KINDS = ("qwen2_5_vl", "qwen2_vl", "qwen3_vl")


@pytest.fixture(scope="module", params=KINDS)
def folder(tiny, tmp_path_factory, request):
    return parts.build(tiny, tmp_path_factory.mktemp("vlm"), request.param)


@pytest.fixture(scope="module")
def fresh(folder) -> NativeVLM:
    return parts.model(folder)


@pytest.fixture(scope="module")
def model(folder) -> NativeVLM:
    """One whose experts differ and whose gate and LoRA are not at their neutral start."""
    return stirred(parts.model(folder), 0.1)


def stirred(made: NativeVLM, size: float) -> NativeVLM:
    """The same model with noise in its experts, gate and LoRA."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.startswith("compressors.") or "lora_B" in name:
                parameter.add_(torch.randn_like(parameter) * size)
    return made


@pytest.fixture(scope="module")
def base(folder) -> Any:
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()


@torch.no_grad()
def logits(model: NativeVLM, batch: Batch) -> list[torch.Tensor]:
    """Logits at every real position, by example."""
    every = batch.segments >= 0
    found = model(batch, lambda m, _, hidden: m.llm.logits(hidden.states[every]))
    owner = batch.segments[every]
    return [found[owner == i] for i in range(len(batch.sample_ids))]


def inputs(model: NativeVLM, base: Any, examples: list[Example]) -> dict[str, torch.Tensor]:
    """What transformers' own processor would hand to the VLM for these examples."""
    width = max(len(example) for example in examples)
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, example in enumerate(examples):
        ids[row, : len(example)] = torch.tensor(example.input_ids)
        mask[row, : len(example)] = 1
    kinds = (ids == base.config.image_token_id).int() + 2 * (ids == base.config.video_token_id)
    given: dict[str, torch.Tensor] = {
        "input_ids": ids,
        "attention_mask": mask,
        "mm_token_type_ids": kinds.int(),
    }
    for modality, values, grid in (
        ("image", "pixel_values", "image_grid_thw"),
        ("frame", "pixel_values_videos", "video_grid_thw"),
    ):
        found = [example.media[modality] for example in examples if modality in example.media]
        if found:
            # (that these are the processor's is tested beside the transform)
            rows = [torch.from_numpy(item.values)[None] for item in found]
            cut = [model._tower.patches(r, [p.grid]) for r, p in zip(rows, found, strict=True)]
            given[values] = torch.cat(cut)
            given[grid] = torch.tensor([p.grid for p in found])
        if found and modality == "frame" and base.config.model_type == "qwen2_5_vl":
            given["second_per_grid_ts"] = torch.tensor([p.step_s for p in found])
    return given


def test_at_step_0_the_logits_are_the_vlms_own(tiny, fresh, base) -> None:
    made = parts.examples(tiny, fresh, NAMES)
    given = inputs(fresh, base, made)
    assert given["image_grid_thw"].tolist() == [[1, 4, 10], [1, 8, 4]]
    with torch.no_grad():
        expected = base(**given).logits
    scale = float(expected.abs().max())
    for row, got in enumerate(logits(fresh, collate(made, pad_id=0))):
        assert (got - expected[row, : len(got)]).abs().max() <= 1e-5 * scale


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_with_masks_it_is_the_same(tiny, folder, fresh, attention: str) -> None:
    """`fresh` has `blocked` attention."""
    batch = collate(parts.examples(tiny, fresh, NAMES), pad_id=0, row_tokens=160)
    masked = parts.model(folder, attention=attention)
    for one, other in zip(logits(fresh, batch), logits(masked, batch), strict=True):
        assert (one - other).abs().max() <= 1e-5 * one.abs().max()


def test_the_order_of_windows_matters_here() -> None:
    """Else the test above would not see a tower whose tokens were left in window order."""
    from transformers.vision_utils import get_vision_window_index

    order, _ = get_vision_window_index(
        torch.tensor([[1, 4, 10]]), spatial_merge_size=2, window_size=56, patch_size=14
    )
    assert order.tolist() != sorted(order.tolist())


@pytest.mark.parametrize("row_tokens", [0, 160, 10_000])
def test_a_sample_does_not_depend_on_its_batch(tiny, model, row_tokens: int) -> None:
    made = parts.examples(tiny, model, NAMES)
    batch = collate(made, pad_id=0, row_tokens=row_tokens)
    assert len(batch.input_ids) == {0: 4, 10_000: 1}.get(row_tokens, len(batch.input_ids))
    for example, got in zip(made, logits(model, batch), strict=True):
        (alone,) = logits(model, collate([example], pad_id=0))
        assert (got - alone).abs().max() <= 1e-5 * alone.abs().max()


@pytest.mark.parametrize("row_tokens", [0, 10_000])
def test_an_answer_among_several_is_what_it_is_alone(tiny, model, row_tokens: int) -> None:
    """Positions in time, height and width go on from the prompt for each of them."""
    one, two = (parts.examples(tiny, model, NAMES, answer) for answer in ("sad and slow", "no"))
    asked = parts.examples(tiny, model, NAMES, answer=None)
    both = [
        prompt.answered([each.input_ids[len(prompt) :] for each in pair])
        for prompt, *pair in zip(asked, one, two, strict=True)
    ]
    batch = collate(both, pad_id=0, row_tokens=row_tokens)
    for number, got in enumerate(logits(model, batch)):
        shared, *answers = got.split([len(asked[number]), *both[number].answers])
        for example, own in zip((one, two), answers, strict=True):
            (alone,) = logits(model, collate([example[number]], pad_id=0))
            far = (torch.cat([shared, own]) - alone).abs().max()
            assert far <= 1e-5 * alone.abs().max()


def test_generating_is_what_the_vlm_generates(tiny, fresh, base) -> None:
    prompts = parts.examples(tiny, fresh, NAMES, answer=None)
    together, gates = fresh.generate(collate(prompts, pad_id=0), max_new_tokens=8)
    tokenizer = fresh.llm.tokenizer
    for prompt, got in zip(prompts, together, strict=True):
        given = inputs(fresh, base, [prompt])
        ids = base.generate(
            **given, do_sample=False, max_new_tokens=8, pad_token_id=tokenizer.pad_token_id
        )
        new = ids[0, len(prompt) :]
        assert got == tokenizer.decode(new, skip_special_tokens=True).strip()
    assert len(set(together)) > 1, "the answers are all the same: this shows nothing"
    assert set(gates["image"]) == {0, 3}


def test_pictures_change_the_answer_and_swapping_them_swaps_it(tiny, model) -> None:
    one, _, words, other = parts.examples(tiny, model, NAMES)
    before = logits(model, collate([one, other, words], pad_id=0))
    image = one.media["image"]
    changed = replace(one, media={"image": replace(image, values=image.values[::-1].copy())})
    after = logits(model, collate([changed, other, words], pad_id=0))
    assert (after[0][-2] - before[0][-2]).abs().max() > 1e-3
    assert torch.equal(after[2], before[2])


def test_the_time_between_frames_is_seen(tiny, folder, model) -> None:
    (video,) = parts.examples(tiny, model, ("video",))
    patches = video.media["frame"]
    assert patches.step_s == pytest.approx(1.5)
    slow = replace(video, media={"frame": replace(patches, step_s=6.0)})
    differ = not torch.equal(*(model.positions(collate([e], pad_id=0)) for e in (video, slow)))
    assert differ == (folder.name == "qwen2_5_vl"), "only Qwen2.5-VL counts seconds"


BY_TOKEN = {
    "_target_": "affect_mllm.models.compressor.hybrid.HybridCompressor",
    "_partial_": True,
    "gate": {
        "_target_": "affect_mllm.models.compressor.gate.Gate",
        "_partial_": True,
        "by": "token",
    },
}


def test_a_gate_by_token_changes_nothing_at_step_0(tiny, folder, fresh) -> None:
    batch = collate(parts.examples(tiny, fresh, NAMES), pad_id=0)
    gated = parts.model(folder, compressor=BY_TOKEN)
    for one, other in zip(logits(fresh, batch), logits(gated, batch), strict=True):
        assert (one - other).abs().max() <= 1e-5 * one.abs().max()


def test_a_gate_by_token_weighs_each_token_by_its_own_states(tiny, folder) -> None:
    gated = stirred(parts.model(folder, compressor=BY_TOKEN), 0.5)
    made = parts.examples(tiny, gated, NAMES)
    batch = collate(made, pad_id=0)
    assert batch.media["image"].mask.sum(1).unique().numel() == 2, "nothing is padded"
    seen: list[torch.Tensor] = []
    gate = gated.compressors["visual"].gate
    hook = gate.register_forward_hook(lambda _gate, _given, weights: seen.append(weights))
    for row_tokens in (0, 160):
        packed = collate(made, pad_id=0, row_tokens=row_tokens)
        for example, got in zip(made, logits(gated, packed), strict=True):
            (alone,) = logits(gated, collate([example], pad_id=0))
            assert (got - alone).abs().max() <= 1e-5 * alone.abs().max()
    seen.clear()
    with torch.no_grad():
        _, gates = gated.media_tokens(collate([made[0]], pad_id=0))
        (weights,) = seen
        _, together = gated.media_tokens(batch)
    hook.remove()
    tokens = made[0].spans[0].length
    assert weights.shape == (1, tokens, 2)
    assert weights[0, :, 0].max() - weights[0, :, 0].min() > 0.01
    torch.testing.assert_close(gates["image"], weights.mean(1))
    torch.testing.assert_close(together["image"][:1], gates["image"], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def third(tiny, tmp_path_factory) -> NativeVLM:
    return parts.model(parts.build(tiny, tmp_path_factory.mktemp("third"), "qwen3_vl"))


def test_each_step_of_a_video_stands_behind_its_time_in_words(tiny, third) -> None:
    """The form and the moments of transformers' own processor for Qwen3-VL."""
    from transformers import AutoProcessor

    (video,) = parts.examples(tiny, third, ("video",))
    assert [span.modality for span in video.spans] == ["frame"] * 3
    assert sum(span.length for span in video.spans) * 4 == len(video.media["frame"].values)
    theirs = AutoProcessor.from_pretrained(third.llm.net.name_or_path)
    moments = theirs._calculate_timestamps(list(range(5)), 1 / 0.75, 2)
    asked = "".join(
        f"<{at_s:.1f} seconds><|vision_start|>{'<|video_pad|>' * span.length}<|vision_end|>"
        for at_s, span in zip(moments, video.spans, strict=True)
    )
    assert asked in third.llm.tokenizer.decode(video.input_ids)


def test_a_stamped_video_without_times_is_refused(third) -> None:
    patches = third.transforms()["frame"](parts.pictures(0, 4, 64, 64))
    with pytest.raises(DataError, match="2 time steps, 0 times"):
        third.span_lengths()["frame"](patches)


def test_deep_mergers_matter_and_a_stage_can_train_them(tiny, third) -> None:
    batch = collate(parts.examples(tiny, third, NAMES), pad_id=0, row_tokens=160)
    mergers = third.encoders["visual"].net.deepstack_merger_list
    regex = r"encoders\.visual\.net\.deepstack_merger_list\..*"
    groups = select(third, {"mergers": Group(regex, 1e-3)})
    states = third(batch, lambda _model, _batch, hidden: hidden.states)
    states.pow(2).sum().backward()
    ((_, trained),) = groups.items()
    assert all(bool(parameter.grad.any()) for parameter in trained)
    before = logits(third, batch)
    kept = copy.deepcopy(mergers.state_dict())
    with torch.no_grad():
        for parameter in mergers.parameters():
            parameter.zero_()
    after = logits(third, batch)
    mergers.load_state_dict(kept)
    third.requires_grad_(False).zero_grad()
    differ = [not torch.equal(*pair) for pair in zip(before, after, strict=True)]
    assert differ == [True, True, False, True], "words alone have no deep features"


def test_lora_is_in_the_language_model_alone(fresh) -> None:
    names = [name for name, _ in fresh.named_parameters() if "lora_" in name]
    assert names
    assert all(name.startswith("llm.net.model.language_model.") for name in names)
    assert not any(p.requires_grad for p in fresh.encoders.parameters())


def test_what_cannot_be_is_said(tiny, fresh, tmp_path) -> None:
    with pytest.raises(ConfigError, match="cache_dir"):
        fresh.encode_clip({})
    shutil.copy(tiny.root / "llm" / "config.json", tmp_path)
    shutil.copy(tiny.root / "llm" / "tokenizer.json", tmp_path)
    with pytest.raises(CheckpointError, match=r"llama(.|\n)*Qwen3-VL \(qwen3_vl\)(.|\n)*mend"):
        parts.model(tmp_path)  # without its weights: they are not asked for
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        parts.model(tmp_path / "nothing")
