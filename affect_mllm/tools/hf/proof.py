"""Probes of an export: what the checkpoint answers, and whether the exported model says it too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.data.settings import DataSettings
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.loss.token import supervised
from affect_mllm.types import Batch, Patches, Sample

EXACT = 1e-4  # how far logits may differ in float32, as a share of the largest
ROUNDED = 2.0  # how many times the checkpoint's own distance from float32, where it is rounded
ANSWER_TOKENS = 24
QUESTIONS = ("Which emotion does the person express?", "Describe it.")


@dataclass(frozen=True)
class Proof:
    """How near an exported model is where its answers are decided: at the answers' positions.

    Largest differences as a share of the largest logit: `merge` of the checkpoint in float32
    after merging from before, `exported` of the exported model from the checkpoint in float32,
    `own` of the checkpoint in its own precision from the same. At `decided` of `positions` the
    checkpoint leads by more than rounding can take away; at `changed` of these the exported
    model's first choice is another.
    """

    merge: float
    exported: float
    own: float
    positions: int
    decided: int
    changed: int

    @property
    def holds(self) -> bool:
        """Whether merging changed nothing, and the rest is what rounding its weights allows."""
        near = self.exported <= max(EXACT, ROUNDED * self.own)
        return self.merge <= EXACT and near and not self.changed

    def __str__(self) -> str:
        own = f" (the checkpoint's own precision: {self.own:.1e})" if self.own else ""
        return (
            f"logits of {self.positions} answer tokens differ by at most {self.exported:.1e} of "
            f"the largest{own}, by {self.merge:.1e} in float32; of {self.decided} that rounding "
            f"cannot decide, {self.changed} are others"
        )


def compared(
    exported: torch.Tensor, own: torch.Tensor, exact: torch.Tensor, merged: torch.Tensor
) -> Proof:
    """What logits `[M, V]` at `M` answer positions show; see `Proof`."""
    scale = exact.abs().max()
    noise = (own - exact).abs().amax(1).clamp_min(EXACT * scale)
    best = exact.topk(2).values
    decided = best[:, 0] - best[:, 1] > 2 * ROUNDED * noise
    changed = decided & (exported.argmax(1) != exact.argmax(1))
    return Proof(
        merge=float((merged - exact).abs().max() / scale),
        exported=float((exported - exact).abs().max() / scale),
        own=float((own - exact).abs().max() / scale),
        positions=len(exact),
        decided=int(decided.sum()),
        changed=int(changed.sum()),
    )


def probes(model: AffectMLLM, data: DataSettings) -> Batch:
    """Questions about noise with the model's own answers, one example a row.

    Of each modality one, one of all that can go together, one of words alone.
    """
    maker = data.maker(model.llm.tokenizer, model.span_lengths())
    media = _noise(model)
    kinds = [(name,) for name in media]
    kinds += [(name, "audio") for name in media if "audio" in media and name != "audio"]
    asked = [(kind, question) for kind in [*kinds, ()] for question in QUESTIONS]

    def example(number: int, answer: str | None) -> Example:
        kind, question = asked[number]
        sample = Sample(str(number), Path(), subtitle="I see." if not kind else None)
        shown = {name: media[name] for name in kind}
        return maker.make(sample, shown, question=question, answer=answer, encoded=False)

    pad_id = model.llm.tokenizer.pad_token_id or 0
    prompts = collate([example(number, None) for number in range(len(asked))], pad_id=pad_id)
    with _arithmetic(model, prompts):
        texts, _ = model.generate(prompts, max_new_tokens=ANSWER_TOKENS, end_id=maker.chat.end_id)
    texts = [maker.chat.answer_text(text) for text in texts]
    return collate([example(number, text) for number, text in enumerate(texts)], pad_id=pad_id)


@torch.no_grad()
def answer_logits(model: AffectMLLM, batch: Batch) -> torch.Tensor:
    """Logits `[M, V]` at the positions that say the answers, in evaluation's arithmetic."""
    positions, _ = supervised(batch.labels)
    with _arithmetic(model, batch):
        return model(batch, lambda m, _, hidden: m.llm.logits(hidden.states[positions])).float()


def differing_weights(one: AffectMLLM, two: AffectMLLM) -> list[str]:
    """Names of the weights that are not the same bit for bit."""
    ours, theirs = one.state_dict(), two.state_dict()
    return sorted(
        name
        for name in ours.keys() | theirs.keys()
        if name not in ours or name not in theirs or not torch.equal(ours[name], theirs[name])
    )


def _arithmetic(model: AffectMLLM, batch: Batch) -> torch.autocast:
    device = batch.input_ids.device.type
    return torch.autocast(device, torch.bfloat16, enabled=model.llm.is_bf16)


def _noise(model: AffectMLLM) -> dict[str, Any]:
    """What each modality's transform makes of random pictures, sound or states."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 90, 130, 3), dtype=np.uint8)
    sound = rng.standard_normal(16_000).astype(np.float32) / 10
    media: dict[str, Any] = {}
    for name, transform in model.transforms().items():
        width = getattr(transform, "width", 0)  # of a feature file's states
        given = sound if name == "audio" else pictures[: 1 if name == "image" else 3]
        item = transform(rng.standard_normal((4, width)) if width else given)
        media[name] = item.timed(np.arange(3) / 2) if isinstance(item, Patches) else item
    return media
