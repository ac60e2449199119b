"""What every experiment owes, at tiny size: nothing but an example itself decides its logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from affect_mllm import config
from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example, ExampleMaker
from affect_mllm.models.encoders.features import FeatureEncoder
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.run import TrainRun
from affect_mllm.types import Batch, ExitCode, Patches, Sample
from tests import tiny_experiments
from tests.tiny import Tiny, logits

EXPERIMENTS = sorted(path.stem for path in (config.conf_dir() / "experiment").glob("*.yaml"))
QUESTION = "Which emotion does the person express?"


class Made(NamedTuple):
    """An experiment's model in eval mode, away from its neutral start, and real examples."""

    model: AffectMLLM
    maker: ExampleMaker
    samples: list[Sample]
    media: list[dict[str, Any]]

    def example(self, number: int, answer: str | None = "happy", **changes: Any) -> Example:
        """One with all its media, or with those of `media`."""
        media = changes.get("media", self.media[number])
        sample = changes.get("sample", self.samples[number])
        return self.maker.make(sample, media, question=QUESTION, answer=answer, encoded=False)


@pytest.fixture(scope="module", params=EXPERIMENTS)
def made(request, tiny: Tiny, tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp(request.param)
    cfg = tiny_experiments.experiment(tiny, request.param, folder)
    torch.manual_seed(0)
    model: AffectMLLM = config.build(cfg.model).eval()
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("compressors.", "fusion.")) or "lora_B" in name:
                parameter.add_(torch.randn_like(parameter) * 0.05)  # more lets rounding grow
    data = config.build(cfg.data)
    reader = replace(data.features(model.transforms(), {}), cache=None)
    samples = [sample for sample in tiny.samples if "video" in sample.media][2:6]
    media = [dict(reader.clip(sample).arrays) | extracted(model) for sample in samples]
    return Made(model, data.maker(model.llm.tokenizer, model.span_lengths()), samples, media)


def extracted(model: AffectMLLM) -> dict[str, Any]:
    """Random features for the branches that have no other way to see or hear."""
    rng = np.random.default_rng(int(torch.randint(1000, ())))
    encoders = {name: model.encoders[branch] for name, branch in model.branches.items()}
    widths = {n: e.hidden_size for n, e in encoders.items() if isinstance(e, FeatureEncoder)}
    return {n: rng.standard_normal((1, width)).astype(np.float32) for n, width in widths.items()}


def watched_batch(tiny, cfg: Any, model: AffectMLLM) -> Batch:
    """Two clips with question and answer, read as an experiment reads them, not encoded."""
    data = config.build(cfg.data)
    reader = replace(data.features(model.transforms(), {}), cache=None)
    maker = data.maker(model.llm.tokenizer, model.span_lengths())
    samples = [sample for sample in tiny.samples if "video" in sample.media][2:4]
    made = [
        maker.make(
            sample,
            dict(reader.clip(sample).arrays) | extracted(model),
            question=QUESTION,
            answer="happy",
            encoded=False,
        )
        for sample in samples
    ]
    return collate(made, pad_id=0)


def alone(made: Made, example: Example) -> torch.Tensor:
    return logits(made.model, collate([example], pad_id=0))[0]


def left_padded(examples: list[Example]) -> Batch:
    """The padded batch with its padding in front."""
    batch = collate(examples, pad_id=0)
    width = batch.input_ids.shape[1]
    shift = [width - len(example) for example in examples]

    def moved(rows: torch.Tensor) -> torch.Tensor:
        pairs = zip(rows, shift, strict=True)
        return torch.stack([row.roll(by, -1) for row, by in pairs])

    spans = tuple(replace(span, start=span.start + shift[span.row]) for span in batch.spans)
    return replace(
        batch,
        input_ids=moved(batch.input_ids),
        labels=moved(batch.labels),
        position_ids=moved(batch.position_ids),
        segments=moved(batch.segments),
        spans=spans,
    )


LAYOUTS: dict[str, Callable[[list[Example]], Batch]] = {
    "padded": lambda examples: collate(examples, pad_id=0),
    "padded left": left_padded,
    "packed": lambda examples: collate(examples, pad_id=0, row_tokens=100_000),
    "in two rows": lambda examples: collate(
        examples, pad_id=0, row_tokens=max(map(len, examples)) * 2
    ),
}


def mixed(made: Made) -> list[Example]:
    """Whole clips, one medium alone, and words alone."""
    names = list(made.media[0])
    single = [{name: made.media[1][name]} for name in names]
    kinds = [made.example(0), *(made.example(1, media=media) for media in single)]
    return [*kinds, made.example(2, media={}), made.example(3)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_example_does_not_depend_on_neighbours_padding_or_packing(made, layout: str) -> None:
    examples = mixed(made)
    for example, got in zip(examples, logits(made.model, LAYOUTS[layout](examples)), strict=True):
        expected = alone(made, example)
        assert (got - expected).abs().max() <= 1e-5 * expected.abs().max().clamp_min(1)


def other(item: Any) -> Any:
    """The same medium with other content of the same size."""
    values = item.values if isinstance(item, Patches) else item
    changed = 255 - values[::-1] if values.dtype == np.uint8 else values[::-1] * -1.5 + 0.3
    return replace(item, values=changed) if isinstance(item, Patches) else changed


def test_each_modality_changes_the_logits_and_without_its_place_it_cannot(made) -> None:
    whole = made.example(0)
    before = alone(made, whole)[-2]
    for name, item in made.media[0].items():
        changed = made.example(0, media={**made.media[0], name: other(item)})
        assert (alone(made, changed)[-2] - before).abs().max() > 1e-4, f"{name} is not looked at"
        rest = {key: value for key, value in made.media[0].items() if key != name}
        without = made.example(0, media=rest)
        assert name not in {span.modality for span in without.spans}
        assert len(without) < len(whole)
        assert (alone(made, without)[-2] - before).abs().max() > 1e-4


def test_swapping_two_clips_swaps_the_outputs(made) -> None:
    text = replace(made.samples[0], subtitle="the same words")
    media = made.media[0]
    twin = {name: other(item) for name, item in media.items()}
    one, two = (made.example(0, sample=text, media=each) for each in (media, twin))
    straight = logits(made.model, collate([one, two], pad_id=0))
    swapped = logits(made.model, collate([two, one], pad_id=0))
    assert (straight[0] - straight[1]).abs().max() > 1e-4
    for got, expected in zip(straight, reversed(swapped), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_answers_do_not_depend_on_the_batch_either(made) -> None:
    prompts = [made.example(i, answer=None) for i in range(2)]
    together, _ = made.model.generate(collate(prompts, pad_id=0), max_new_tokens=4)
    single = [
        made.model.generate(collate([prompt], pad_id=0), max_new_tokens=4)[0][0]
        for prompt in prompts
    ]
    assert together == single


# `demo` runs as a whole in tests/train, and `own_clips` is its last stage.
@pytest.mark.parametrize("name", sorted(set(EXPERIMENTS) - {"demo", "own_clips"}))
def test_every_stage_takes_a_step(name: str, tiny: Tiny, tmp_path) -> None:
    cfg = tiny_experiments.experiment(tiny, name, tmp_path)
    run: TrainRun = config.build(cfg)
    assert run.run() == ExitCode.DONE
    for stage in cfg.stages:
        assert (tmp_path / stage / "final" / "trainable.safetensors").is_file()
