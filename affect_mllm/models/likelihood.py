"""How likely the model finds each label of a closed list, instead of letting it generate one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from affect_mllm.models.llm.cached import continued, prefilled
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.llm.masks import windowed
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.types import Batch, ConfigError, DataError

ROWS = 4  # rows whose logits exist at once


@torch.no_grad()
def label_log_likelihoods(
    model: AffectMLLM, batch: Batch, labels: Sequence[Sequence[int]], *, normalize: bool = False
) -> torch.Tensor:
    """log p(label | prompt) for prompts of one row each and C labels: float32 `[N, C]`.

    `labels` are token ids as `ChatFormat.answer_ids` makes them, with what ends a turn, so that
    a label which begins another one is not counted with it. `normalize` divides by the number of
    a label's tokens. The prompt is computed once: all labels stand behind it in one row, each
    seeing the prompt and itself (a tree of continuations), or a window of them where the LLM's
    layers do. Raises ConfigError for an empty list
    or label, or an LLM that reads a row through any mask, DataError for packed rows.
    """
    _check(model, batch, labels)
    prompt, _ = model.prompt(batch)
    real, positions = prompt.real, prompt.positions
    last, cache = prefilled(model.llm, prompt)
    tree = _Tree([list(label) for label in labels], model.llm.device)
    hidden = torch.cat(
        [last.unsqueeze(1), _branches(model.llm, tree, real, positions, cache)], dim=1
    )
    found = torch.cat([_scores(model.llm, part, tree) for part in hidden.split(ROWS)])
    return found / tree.lengths if normalize else found


class _Tree:
    """Labels as branches of one row: their inputs, who sees whom, and where targets are predicted.

    A label's last token is never an input; its first is predicted by the prompt's last state,
    which is column 0 of the states to read.
    """

    def __init__(self, labels: Sequence[list[int]], device: torch.device) -> None:
        inputs, owners, depths, sources, targets, counts = [], [], [], [], [], []
        for number, label in enumerate(labels):
            sources += [0, *range(len(inputs) + 1, len(inputs) + len(label))]
            targets += label
            counts += [number] * len(label)
            inputs += label[:-1]
            owners += [number] * (len(label) - 1)
            depths += range(len(label) - 1)
        self.inputs = torch.tensor(inputs, dtype=torch.long, device=device)
        self.owners = torch.tensor(owners, dtype=torch.long, device=device)
        self.depths = torch.tensor(depths, dtype=torch.long, device=device)
        self.sources = torch.tensor(sources, device=device)
        self.targets = torch.tensor(targets, device=device)
        self.label_of = torch.tensor(counts, device=device)
        self.lengths = torch.tensor([len(label) for label in labels], device=device)


def _check(model: AffectMLLM, batch: Batch, labels: Sequence[Sequence[int]]) -> None:
    if not model.llm.packs:
        raise ConfigError(
            "label likelihoods",
            "of an LLM whose linear attention would read one label behind another",
            expected="an LLM that can read all labels in one row",
            fix="let it generate the label",
        )
    if not labels or not all(len(label) for label in labels):
        raise ConfigError("labels", "none, or one without a token", expected="a list of labels")
    if len(batch.input_ids) != len(batch.sample_ids):
        raise DataError("label likelihoods", "packed prompts", expected="one prompt a row")


def _branches(
    llm: LanguageModel, tree: _Tree, real: torch.Tensor, positions: torch.Tensor, cache: Any
) -> torch.Tensor:
    """Hidden states `[N, B, H]` of all labels' inputs, behind the cached prompts."""
    rows, count = len(real), len(tree.inputs)
    if not count:  # every label is one token
        return llm.embed(tree.inputs).expand(rows, 0, -1)
    same = tree.owners.unsqueeze(1) == tree.owners
    branch = (same & (tree.depths.unsqueeze(1) >= tree.depths)).expand(rows, count, count)
    prompt = real.unsqueeze(1).expand(rows, count, real.shape[1])
    mask = torch.cat([prompt, branch], dim=2).unsqueeze(1)
    behind = torch.arange(-real.shape[1], 0, device=real.device)
    distance = tree.depths.unsqueeze(1) - torch.cat([behind, tree.depths])
    masks = windowed(mask, distance, llm.config.to_dict())
    places = positions[..., -1:] + 1 + tree.depths
    embeds = llm.embed(tree.inputs).expand(rows, count, -1)
    return continued(llm, embeds, masks, places, cache)


def _scores(llm: LanguageModel, hidden: torch.Tensor, tree: _Tree) -> torch.Tensor:
    """`[R, C]` from the states `[R, 1 + B, H]`: token log-probabilities added up by label."""
    logits = llm.logits(hidden).float()
    picked = logits[:, tree.sources].gather(2, tree.targets.expand(len(hidden), -1).unsqueeze(2))
    tokens = picked.squeeze(2) - logits.logsumexp(-1)[:, tree.sources]
    return tokens.new_zeros(len(hidden), len(tree.lengths)).index_add(1, tree.label_of, tokens)
