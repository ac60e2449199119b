"""Several items of a modality in one example: as transformers has them, and whatever the batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from affect_mllm.data import records
from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.models.encoders.base import States
from affect_mllm.models.fusion.base import gather, one_each
from affect_mllm.models.vlm.native_vlm import NativeVLM
from affect_mllm.types import Patches
from tests import tiny as own
from tests import tiny_vlm as parts

CLIPS = [{"name": name, "image": f"{name}.png"} for name in ("wide", "high")]
CLIPS.append({"name": "video", "video": "v.mp4"})
QUESTIONS = (
    "Which?",
    "<video:video> before <image:high> and <image:wide>?",
    "<image><video><image>",
)


@pytest.fixture(scope="module", params=("qwen2_5_vl", "qwen2_vl", "qwen3_vl"))
def folder(tiny, tmp_path_factory, request):
    return parts.build(tiny, tmp_path_factory.mktemp("vlm"), request.param)


def vlm_examples(tiny, model) -> list[Example]:
    maker = tiny.data.maker(model.llm.tokenizer, model.span_lengths())
    media = {}
    for number, name in enumerate(("wide", "high", "video"), start=1):
        modality, images = parts.MEDIA[name]
        patches = model.transforms()[modality](images).timed(parts.TIMES_S[: len(images)])
        media[f"{modality}.{number}"] = patches
    sample = records.sample_of({"id": "q", "clips": CLIPS}, Path())
    return [
        maker.make(sample, media, question=text, answer="happy", encoded=False)
        for text in QUESTIONS
    ]


def cut(model: NativeVLM, item: Patches) -> torch.Tensor:
    """The normalised patches that transformers' processor would hand to the VLM."""
    return model._tower.patches(torch.from_numpy(item.values)[None], [item.grid])


def theirs(model: NativeVLM, base, example: Example) -> torch.Tensor:
    """The logits of transformers' own VLM for one example."""
    ids = torch.tensor([example.input_ids])
    kinds = (ids == base.config.image_token_id).int() + 2 * (ids == base.config.video_token_id)
    order = dict.fromkeys(span.modality for span in example.spans)
    images = [example.media[name] for name in order if name.startswith("image")]
    (video,) = (example.media[name] for name in order if name.startswith("frame"))
    given = {
        "input_ids": ids,
        "mm_token_type_ids": kinds.int(),
        "pixel_values": torch.cat([cut(model, each) for each in images]),
        "image_grid_thw": torch.tensor([each.grid for each in images]),
        "pixel_values_videos": cut(model, video),
        "video_grid_thw": torch.tensor([video.grid]),
    }
    if base.config.model_type == "qwen2_5_vl":
        given["second_per_grid_ts"] = torch.tensor([video.step_s])
    with torch.no_grad():
        return base(**given).logits[0]


def test_two_pictures_and_a_video_are_the_vlms_own_in_any_order(tiny, folder) -> None:
    from transformers import AutoModelForImageTextToText

    model = parts.model(folder)
    base = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()
    made = vlm_examples(tiny, model)
    expected = [theirs(model, base, example) for example in made]
    for row_tokens in (0, 10_000):
        batch = collate(made, pad_id=0, row_tokens=row_tokens)
        for want, got in zip(expected, own.logits(model, batch), strict=True):
            assert (got - want).abs().max() <= 1e-5 * want.abs().max()
    _, gates = model.generate(collate(made[:2], pad_id=0), max_new_tokens=2)
    assert {name: sorted(rows) for name, rows in gates.items()} == {
        "image": [0, 1],
        "frame": [0, 1],
    }


def test_a_fused_model_reads_every_clip_whatever_its_batch(tiny) -> None:
    model = tiny.model()
    maker = tiny.maker(model)
    widths = {m: int(model.encoders[branch].hidden_size) for m, branch in model.branches.items()}
    clips = [{"video": "a.mp4"}, {"video": "b.mp4"}]
    pair = records.sample_of({"id": "p", "clips": clips}, Path())
    media = {
        f"{name}.{number}": own.states(number, {name: 5 + number}, widths)[name]
        for number in (1, 2)
        for name in ("face", "audio")
    }
    one = maker.make(pair, media, question="Which?", answer="happy")
    turned = {name: media[f"{name[:-1]}{3 - int(name[-1])}"] for name in media}
    other = maker.make(pair, turned, question="Which?", answer="happy")
    rest = own.examples(tiny, model, [("face", "audio"), ("text",)])
    batch = collate([one, *rest, other], pad_id=0, row_tokens=4000)
    assert batch.media["face"].examples == (0, 0, 1, 3, 3)
    together = own.logits(model, batch)
    for number, example in ((0, one), (3, other)):
        (alone,) = own.logits(model, collate([example], pad_id=0))
        assert (together[number] - alone).abs().max() <= 1e-5 * alone.abs().max()
    assert (together[0] - together[3]).abs().max() > 1e-3 * together[0].abs().max()


def test_a_stream_of_several_items_stands_one_after_another() -> None:
    values = torch.arange(12.0).reshape(3, 2, 2)
    mask = torch.tensor([[True, False], [True, True], [True, True]])
    owners = (0, 0, 1)
    gathered = gather(one_each(States(values, mask), owners), 2, like=torch.zeros(1, 2))
    first, second = (v[m].tolist() for v, m in zip(gathered.values, gathered.mask, strict=True))
    assert first == [[0, 1], [4, 5], [6, 7]]
    assert second == [[8, 9], [10, 11]]
