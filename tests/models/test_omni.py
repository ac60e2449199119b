"""Omni models: at step 0 the thinker they are made of, whatever stands beside a sample."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pytest
import torch

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.models.vlm.native_vlm import NativeVLM
from affect_mllm.models.vlm.rope import Shown, of_omni
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.plan.trainable import Group, select
from affect_mllm.types import CheckpointError, ConfigError, Patches, Sample, Span
from tests import tiny_omni as parts
from tests import tiny_vlm
from tests.models.test_native_vlm import stirred
from tests.tiny import QUESTION, logits

KINDS = ("qwen2_5_omni", "qwen3_omni_moe")
NAMES = tuple(parts.CASES)


@pytest.fixture(scope="module", params=KINDS)
def folder(tmp_path_factory, request):
    return parts.build(tmp_path_factory.mktemp("omni"), request.param)


@pytest.fixture(scope="module")
def fresh(folder) -> NativeVLM:
    return tiny_vlm.model(folder)


@pytest.fixture(scope="module")
def base(folder) -> Any:
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(folder)
    return AutoModelForImageTextToText.from_pretrained(
        folder, config=getattr(config, "thinker_config", config), dtype="float32"
    ).eval()


@pytest.fixture(scope="module")
def expected(tiny, fresh, base) -> list[torch.Tensor]:
    """The base's logits of each example, asked alone."""
    made = parts.examples(tiny, fresh, NAMES)
    with torch.no_grad():
        return [base(**parts.asked(base, fresh, each)).logits[0] for each in made]


@pytest.mark.parametrize("row_tokens", [0, 10_000])
def test_at_step_0_the_logits_are_the_thinkers_own(tiny, fresh, expected, row_tokens) -> None:
    made = parts.examples(tiny, fresh, NAMES)
    batch = collate(made, pad_id=0, row_tokens=row_tokens)
    for name, one, other in zip(NAMES, expected, logits(fresh, batch), strict=True):
        assert (one - other).abs().max() <= 1e-5 * one.abs().max(), name


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_with_masks_it_is_the_same(tiny, folder, expected, attention: str) -> None:
    """`fresh` has `blocked` attention."""
    masked = tiny_vlm.model(folder, attention=attention)
    batch = collate(parts.examples(tiny, masked, NAMES), pad_id=0, row_tokens=600)
    for name, one, other in zip(NAMES, expected, logits(masked, batch), strict=True):
        assert (one - other).abs().max() <= 1e-5 * one.abs().max(), name


def test_generating_is_what_the_thinker_generates(tiny, fresh, base) -> None:
    prompts = parts.examples(tiny, fresh, NAMES, answer=None)
    together, gates = fresh.generate(collate(prompts, pad_id=0), max_new_tokens=6)
    tokenizer = fresh.llm.tokenizer
    for name, prompt, got in zip(NAMES, prompts, together, strict=True):
        ids = base.generate(
            **parts.asked(base, fresh, prompt),
            do_sample=False,
            max_new_tokens=6,
            pad_token_id=tokenizer.pad_token_id,
        )
        said = tokenizer.decode(ids[0, len(prompt) :], skip_special_tokens=True).strip()
        assert got == said, name
    assert len(set(together)) > 1, "the answers are all the same: this shows nothing"
    heard = [number for number, name in enumerate(NAMES) if parts.CASES[name][2]]
    assert sorted(gates["audio"]) == heard


@pytest.fixture(scope="module")
def model(folder) -> NativeVLM:
    """One whose experts differ and whose gates and LoRA are not at their neutral start."""
    return stirred(tiny_vlm.model(folder), 0.1)


def test_each_medium_changes_the_logits_of_its_own_example_alone(tiny, model) -> None:
    made = parts.examples(tiny, model, NAMES)
    before = logits(model, collate(made, pad_id=0))
    number = NAMES.index("all")
    for modality, item in made[number].media.items():
        values = item.values[::-1].copy() if isinstance(item, Patches) else item[::-1].copy()
        other = replace(item, values=values) if isinstance(item, Patches) else values
        media = {**made[number].media, modality: other}
        changed = [*made[:number], replace(made[number], media=media), *made[number + 1 :]]
        after = logits(model, collate(changed, pad_id=0))
        assert (after[number][-2] - before[number][-2]).abs().max() > 1e-4, modality
        others = [i for i in range(len(made)) if i != number]
        assert all(torch.equal(after[i], before[i]) for i in others)


@pytest.mark.parametrize("row_tokens", [0, 700])
def test_a_sample_does_not_depend_on_its_batch(tiny, model, row_tokens: int) -> None:
    made = parts.examples(tiny, model, NAMES)
    together = logits(model, collate(made, pad_id=0, row_tokens=row_tokens))
    for name, example, got in zip(NAMES, made, together, strict=True):
        (alone,) = logits(model, collate([example], pad_id=0))
        assert (got - alone).abs().max() <= 1e-5 * alone.abs().max(), name


def test_a_sound_that_is_shorter_than_a_second_is_as_if_it_were_alone(fresh, base) -> None:
    """transformers' Qwen3-Omni tower makes something else of it beside a longer one."""
    tower, tail = fresh.encoders["audio"], fresh.compressors["audio"].experts["general"]
    heard = [tower.transform(parts.sound(seed, s)) for seed, s in ((1, 0.35), (2, 2.51), (3, 1))]
    spans = (Span("audio", 0, 1),)
    made = [Example(str(i), [0], [0], spans, {"audio": one}, False) for i, one in enumerate(heard)]
    batch = collate(made, pad_id=0).media["audio"]
    theirs = base.model.audio_tower
    with torch.no_grad():
        together = tower(batch.values, batch.mask)
        tokens = tail(together.values, together.mask)
        for row, frames in enumerate(heard):
            given = {"feature_lens": torch.tensor([len(frames)])}
            if tower.halves:
                given["aftercnn_lens"] = (given["feature_lens"] - 1) // 2 + 1
            alone = theirs(torch.from_numpy(frames).T, **given).last_hidden_state
            assert together.mask[row].sum() == len(alone) == tower.count(frames)
            torch.testing.assert_close(tokens[row, : len(alone)], alone, rtol=1e-5, atol=1e-5)
            assert not together.values[row, len(alone) :].any()
    assert torch.equal(tower.state_mask(batch.mask), together.mask)


def test_tokens_are_counted_as_the_tower_counts(fresh, base) -> None:
    tower = fresh.encoders["audio"]
    lengths = torch.arange(tower.least_steps(), 1003)
    if tower.halves:
        counts = base.model.audio_tower._get_feat_extract_output_lengths(lengths)[1]
    else:
        from transformers.models.qwen3_omni_moe import modeling_qwen3_omni_moe as theirs

        counts = theirs._get_feat_extract_output_lengths(lengths)
    assert torch.equal(tower.count.of(lengths), counts)
    assert [tower.count.of(each) for each in lengths.tolist()] == counts.tolist()
    assert tower.count.of(tower.least_steps() - 1) == 0


def test_a_sound_of_two_frames_is_absent(fresh) -> None:
    """Qwen2.5-Omni makes no token of it, and its positions beside a picture raise."""
    tower = fresh.encoders["audio"]
    least = tower.least_steps() * 160
    assert len(tower.transform(parts.sound(1, 1)[: least - 160])) == 0
    assert len(tower.transform(parts.sound(1, 1)[:least])) == tower.least_steps()


def order(model: NativeVLM, placeholder: Any) -> list[tuple[int, int]]:
    """Runs of ids of a placeholder: (id, how many)."""

    def every(part: Any) -> list[int]:
        inner = [id for each in part.then for id in every(each)]
        return [*part.before, *[part.filler] * part.length, *part.after, *inner]

    return [(id, len(list(run))) for id, run in groupby(every(placeholder))]


@pytest.mark.parametrize(("step_s", "steps", "seconds"), [(1.3, 4, 5), (4.0, 6, 23.5), (0.5, 3, 9)])
def test_a_video_and_its_sound_stand_as_the_processor_has_them(
    fresh, folder, step_s, steps, seconds
) -> None:
    """Steps longer than 2 s leave chunks of one token, in the processor as in positions."""
    from transformers import AutoProcessor

    theirs: Any = AutoProcessor.from_pretrained(folder)
    rule: Any = fresh.span_lengths()["frame"]
    patches = Patches(np.zeros((steps * 24, 1), np.uint8), (steps, 4, 6), 2, step_s)
    heard = np.zeros((round(seconds * 100), 128), np.float32)
    given = {"video_grid_thw": [patches.grid], "video_second_per_grid": [step_s]}
    text = theirs.replace_video_with_audio_token(
        given,
        0,
        {"num_audio_tokens": [rule.count(heard)]},
        0,
        position_id_per_seconds=rule.per_second,
        seconds_per_chunk=2.0,
    )
    ids = theirs.tokenizer(f"{theirs.vision_bos_token}{text}{theirs.vision_eos_token}").input_ids
    ours = order(fresh, rule.joined(patches, heard))
    assert ours == [(id, len(list(run))) for id, run in groupby(ids)]
    if step_s > 2 and rule.mixed == "chunks":
        assert (fresh.llm.net.config.video_token_id, 1) in ours


@pytest.mark.parametrize("fps", [1.3, 2.6, 3.7])
def test_positions_belong_to_the_tokens_that_stand_there(fresh, fps) -> None:
    """At these rates transformers' processor puts the border of a chunk elsewhere."""
    rule: Any = fresh.span_lengths()["frame"]
    config, steps, step_s = fresh.llm.net.config, 60, 2 / fps
    patches = Patches(np.zeros((steps * 24, 1), np.uint8), (steps, 4, 6), 2, step_s)
    heard = round(steps * step_s * 100)
    runs = order(fresh, rule.joined(patches, np.zeros((heard, 128))))
    ids = torch.tensor([id for id, count in runs for _ in range(count)])
    shown = Shown(videos=[patches.grid], steps_s=[step_s], sounds=[heard])
    positions = of_omni(fresh.llm.net, ids, shown)
    sounds = positions[:, ids == config.audio_token_id]
    assert torch.equal(sounds[0], sounds[1])
    assert torch.equal(sounds[0] - sounds[0, 0], torch.arange(sounds.shape[1]).to(sounds.dtype))
    seen = positions[:, ids == config.video_token_id]
    assert torch.equal((seen[2] - seen[2].min()).long(), torch.arange(3).repeat(2 * steps))


def test_an_example_of_a_silent_and_a_sounding_video(tiny, fresh) -> None:
    """Their own function takes all videos of a call for sounding ones, or none."""
    transforms = fresh.transforms()

    def video(frames: int) -> Any:
        pictures = tiny_vlm.pictures(frames, frames, 64, 90)
        return transforms["frame"](pictures).timed(np.arange(frames) * 0.6)

    media = {"frame.1": video(4), "frame.2": video(6), "frame.3": video(3)}
    media["audio.2"] = transforms["audio"](parts.sound(1, 3))
    clips = [Sample(f"s.{i}", tiny.root, media={"video": "x"}, name=str(i)) for i in (1, 2, 3)]
    maker = replace(tiny.data.maker(fresh.llm.tokenizer, fresh.span_lengths()), max_tokens=4000)
    made = maker.make(
        Sample("s", tiny.root, clips=tuple(clips)), media, question=QUESTION, encoded=False
    )
    positions = fresh.positions(collate([made], pad_id=0))[:, 0]
    config, ids = fresh.llm.net.config, torch.tensor(made.input_ids)
    starts = (ids == config.vision_start_token_id).nonzero()[:, 0].tolist()
    assert [int(ids[at + 1]) == config.audio_start_token_id for at in starts] == [0, 1, 0]
    bounds = [*starts, len(ids)]
    for number, (name, sounds) in enumerate(
        [("frame.1", []), ("frame.2", [len(media["audio.2"])]), ("frame.3", [])]
    ):
        first, last = bounds[number : number + 2]
        shown = Shown(videos=[media[name].grid], steps_s=[media[name].step_s], sounds=sounds)
        alone = of_omni(fresh.llm.net, ids[first:last], shown)
        got = positions[:, first:last]
        torch.testing.assert_close(got - got[:, :1], alone - alone[:, :1], rtol=0, atol=1e-4)
        assert int(positions[:, :first].max()) + 1 == int(got.min())


def test_apart_a_sound_is_an_item_of_its_own(tiny, folder, base) -> None:
    apart = tiny_vlm.model(folder, sound="apart")
    (made,) = parts.examples(tiny, apart, ("sounding",))
    assert [span.modality for span in made.spans] == ["frame", "audio"]
    assert "Voice:" in apart.llm.tokenizer.decode(made.input_ids)
    given = parts.asked(base, apart, made)
    assert not given["use_audio_in_video"]
    with torch.no_grad():
        one = base(**given).logits[0]
    (other,) = logits(apart, collate([made], pad_id=0))
    assert (one - other).abs().max() <= 1e-5 * one.abs().max()


def test_a_whole_folder_gives_the_thinker_alone(tiny, fresh, tmp_path) -> None:
    kind = "qwen2_5_omni" if fresh.encoders["audio"].halves else "qwen3_omni_moe"
    whole = tiny_vlm.model(parts.build(tmp_path, kind, whole=True))
    assert not [name for name in whole.state_dict() if "talker" in name or "token2wav" in name]
    own = fresh.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in whole.state_dict().items())


def test_lora_is_in_the_language_model_alone(fresh) -> None:
    names = [name for name, _ in fresh.named_parameters() if "lora_" in name]
    assert names
    assert all(name.startswith("llm.net.model.language_model.") for name in names)
    assert not any(p.requires_grad for p in fresh.encoders.parameters())
    assert fresh.llm.net.model.audio_tower is None


def test_training_one_expert_leaves_the_other_bit_for_bit(tiny, folder) -> None:
    model = tiny_vlm.model(folder).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    emotion = {"emotion": Group(r"compressors\.\w+\.experts\.emotion\..*", 1e-2)}
    ((_, trained),) = select(model, emotion).items()
    optimizer = torch.optim.SGD(trained, lr=1e-2)
    model.use_experts(["emotion"])
    batch = collate(parts.examples(tiny, model, ("all", "words", "short")), pad_id=0)
    model(batch, Objective({"token": TokenLoss()})).losses["token"].backward()
    assert all(parameter.grad.any() for parameter in trained)
    optimizer.step()
    changed = {n for n, tensor in model.state_dict().items() if not torch.equal(tensor, before[n])}
    assert {name.split(".")[1] for name in changed} == {"visual", "audio"}
    assert all(".experts.emotion." in name for name in changed)


def test_wrong_ids_are_refused(folder, tmp_path) -> None:
    """What a config lacks has a default of its class, another token of the tokenizer."""
    import shutil

    wrong = shutil.copytree(folder, tmp_path / "wrong")
    config = json.loads((wrong / "config.json").read_text())
    del config["audio_start_token_id"], config["vision_start_token_id"]
    (wrong / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"vision_start_token_id is None(.|\n)*415 \("):
        tiny_vlm.model(wrong)
    config["vision_start_token_id"] = 415
    (wrong / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"audio_start_token_id is 151\d+"):
        tiny_vlm.model(wrong)


def test_a_model_that_only_hears_is_refused_by_name(tmp_path) -> None:
    """Before weights are read."""
    folder = parts.build(tmp_path, "qwen2_audio")
    for file in folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(CheckpointError, match=r"Qwen2-Audio, which only hears(.|\n)*baseline=hf"):
        tiny_vlm.model(folder)


def test_a_deaf_vlm_is_not_told_where_sounds_go(tiny, tmp_path) -> None:
    with pytest.raises(ConfigError, match="does not hear"):
        tiny_vlm.model(tiny_vlm.build(tiny, tmp_path), sound="apart")
