"""Auxiliary losses: their values by hand and by torch."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize, smooth_l1_loss

from affect_mllm.data.collate import collate
from affect_mllm.models.hidden import Hidden
from affect_mllm.train.loss.contrastive import InfoNCE
from affect_mllm.train.loss.gates import GateEntropy, LoadBalance
from affect_mllm.train.loss.heads import Classification, VADRegression, answer_starts
from affect_mllm.train.loss.objective import Loss, Objective
from affect_mllm.types import Batch, ConfigError, DataError
from tests import tiny as parts

KINDS = [("face", "audio", "text"), ("face", "audio"), ("audio", "text"), ("face",)]
TRUTHS = [
    {"emotion": "happy", "valence": 0.8, "arousal": 0.1, "description": "a smile"},
    {"emotion": "sad", "valence": -0.5, "description": "a low voice"},
    {"emotion": "angry", "dominance": 0.9, "description": "a frown"},
    {"description": "a smile"},
]
EVERY = {
    "vad": VADRegression(),
    "classes": Classification(["sad", "happy", "angry"]),
    "described": InfoNCE("clip", "description", size=8),
    "pair": InfoNCE("face", "audio", size=8),
    "entropy": GateEntropy(),
    "balance": LoadBalance(),
}


@pytest.fixture
def model(tiny):
    """A tiny model whose gates and experts are not at their neutral start."""
    made = tiny.model()
    torch.manual_seed(2)
    for name, loss in EVERY.items():
        head = loss.head(made.llm.hidden_size)
        if head is not None:
            made.heads[name] = head
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.startswith("compressors."):
                parameter.add_(0.05 * torch.randn_like(parameter))
            if name.endswith("gate.output.bias"):
                parameter[0] += 1.0  # 0.73 to 0.27
    return made


def batch_of(tiny, model, row_tokens: int = 0) -> Batch:
    examples = parts.examples(tiny, model, KINDS)
    made = collate(examples, pad_id=0, row_tokens=row_tokens)
    return Batch(**{**vars(made), "truths": tuple(TRUTHS)})


def value(model, batch: Batch, name: str) -> float:
    objective = Objective({name: EVERY[name]})
    with torch.no_grad():
        return float(model(batch, objective).losses[name])


def test_heads_read_the_state_before_the_answer(tiny, model) -> None:
    for row_tokens in (0, 400):
        batch = batch_of(tiny, model, row_tokens)
        rows, columns = answer_starts(batch, [2, 0])
        for example, row, column in zip([2, 0], rows.tolist(), columns.tolist(), strict=True):
            assert int(batch.segments[row, column]) == example
            assert int(batch.labels[row, column]) == -100
            assert int(batch.labels[row, column + 1]) != -100
            own = (batch.segments[row] == example).nonzero().flatten()
            assert not (batch.labels[row, own[own <= column]] != -100).any()


def test_vad_and_classes_are_torchs_losses_over_what_is_labelled(tiny, model) -> None:
    batch = batch_of(tiny, model)
    assert EVERY["vad"].count(batch) == 4
    assert EVERY["classes"].count(batch) == 3
    with torch.no_grad():
        states = model(batch, lambda _m, _b, hidden: hidden.states)
    state = states[answer_starts(batch, [0, 1, 2])].float()
    vad, classes = (model.heads[name](state).detach() for name in ("vad", "classes"))
    truth = torch.tensor([0.8, 0.1, -0.5, 0.9])
    found = torch.stack([vad[0, 0], vad[0, 1], vad[1, 0], vad[2, 2]])
    expected = smooth_l1_loss(found, truth, reduction="sum")
    assert value(model, batch, "vad") == pytest.approx(float(expected), rel=1e-5)
    expected = cross_entropy(classes, torch.tensor([1, 0, 2]), reduction="sum")
    assert value(model, batch, "classes") == pytest.approx(float(expected), rel=1e-5)


def gates(*rows: list[float]) -> tuple[Hidden, Batch]:
    hidden = Hidden(torch.zeros(1, 2, 4), {}, {"face": torch.tensor(rows)})
    nothing: dict = {}
    return hidden, SimpleNamespace(media=nothing)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("rows", "entropy", "uneven"),
    [
        ([[0.5, 0.5], [0.5, 0.5]], 2 * math.log(2), 2 * 1.0),
        ([[1.0, 0.0], [0.0, 1.0]], 0.0, 2 * 1.0),
        ([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], math.log(2), 2 * 2 * (0.75**2 + 0.25**2)),
        ([[1.0, 0.0]], 0.0, 1.0),
    ],
)
def test_gate_losses_by_hand(rows, entropy: float, uneven: float) -> None:
    """The third: an expert that is not in use does not count among them."""
    hidden, batch = gates(*rows)
    assert float(GateEntropy()(None, batch, hidden, None)) == pytest.approx(entropy)
    experts = range(len(rows[0]))
    model = SimpleNamespace(modalities=("face", "audio"), gate_names=lambda _: experts)
    assert float(LoadBalance()(model, batch, hidden, None)) == pytest.approx(uneven)


def test_infonce_is_cross_entropy_both_ways_and_equal_texts_are_no_negatives(tiny, model) -> None:
    batch, loss = batch_of(tiny, model), EVERY["described"]
    assert loss.count(batch) == 4
    assert EVERY["pair"].count(batch) == 2
    with torch.no_grad():
        tokens = model(batch, lambda _m, _b, hidden: hidden.tokens)
        head = model.heads["described"]
        clips = [
            torch.cat([t[i] for n, t in sorted(tokens.items()) if n != "multi" and i in t]).mean(0)
            for i in range(4)
        ]
        texts = [
            model.llm.embed(torch.tensor(model.llm.tokenizer(t["description"])["input_ids"])).mean(
                0
            )
            for t in TRUTHS
        ]
        one = normalize(head["clip"](torch.stack(clips).float()), dim=-1)
        two = normalize(head["description"](torch.stack(texts).float()), dim=-1)
    scores = one @ two.t() / 0.07
    scores[0, 3] = scores[3, 0] = -torch.inf  # both are "a smile"
    target = torch.arange(4)
    both = [cross_entropy(s, target, reduction="sum") for s in (scores, scores.t())]
    assert value(model, batch, "described") == pytest.approx(float(sum(both)) / 2, rel=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: InfoNCE("face", "face"),
        lambda: InfoNCE("face", "smell"),
        lambda: Classification(["happy"]),
        lambda: Classification(["happy", "happy"]),
    ],
)
def test_losses_that_mean_nothing_are_refused(make) -> None:
    with pytest.raises(ConfigError):
        make()


def test_a_label_that_is_no_class_is_named(tiny, model) -> None:
    batch = batch_of(tiny, model)
    loss: Loss = Classification(["sad", "happy"])
    with pytest.raises(DataError, match=r"e2(.|\n)*angry"):
        loss.count(batch)
