"""Answers per second with a prompt computed once for its group, against one row an answer.

`python benchmarks/rollouts.py [--model FOLDER] [--prompts N] [--answers G] [--prompt-tokens P]
[--new-tokens T]`. Draws with SmolLM2-135M (`affect-mllm assets`) or another LLM, scores what was
drawn in one training pass each way, and prints seconds, positions, and the process's peak memory. A
step is one draw and one training pass (forward and backward, LoRA alone).
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import typer

from affect_mllm import config
from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.sample import draw, key_of
from affect_mllm.train.loss.answers import scored
from affect_mllm.types import Drawn


class Words(torch.nn.Module):
    """An LLM without media, as `draw` and `scored` see a model."""

    def __init__(self, llm: LanguageModel) -> None:
        super().__init__()
        self.llm = llm

    def prompt(self, batch: Any) -> Any:
        """Left-padded prompts."""
        from affect_mllm.models.llm.prompt import Prompt

        embeds = self.llm.embed(batch.input_ids)
        made = Prompt(embeds, batch.position_ids, batch.segments >= 0)
        return made.padded_left(), None

    def forward(self, batch: Any, objective: Callable[..., Any]) -> Any:
        """The training pass."""
        from affect_mllm.models.hidden import Hidden

        states = self.llm.hidden_states(
            self.llm.embed(batch.input_ids),
            batch.segments,
            batch.position_ids,
            borders=batch.borders,
            branches=batch.branches,
        )
        return objective(self, batch, Hidden(states, {}, {}))


def main(
    model: str = "asset:smollm2-135m-instruct",
    prompts: int = 4,
    answers: int = 8,
    prompt_tokens: int = 110,
    new_tokens: int = 12,
) -> None:
    """Print the table."""
    node = config.compose("train", ["experiment=demo", f"model.llm.model={model}"]).model.llm
    words = Words(config.build(node)).eval()
    for name, parameter in words.named_parameters():
        parameter.requires_grad_("lora_" in name)
    generator = torch.Generator().manual_seed(0)
    shape = (prompts, prompt_tokens)
    ids = torch.randint(5, 2_000, shape, generator=generator).tolist()
    asked = [
        Example(f"p{n}", row, [-100] * len(row), (), {}, encoded=True) for n, row in enumerate(ids)
    ]
    keys = [[key_of(n, k) for k in range(answers)] for n in range(prompts)]
    how = {"max_new_tokens": new_tokens, "end_id": -1}
    rows = [each for each in asked for _ in range(answers)]
    shared_s, drawn = timed(lambda: draw(words, collate(asked, pad_id=0), keys, **how))  # type: ignore[arg-type]
    alone = [[key] for own in keys for key in own]
    apart_s, again = timed(lambda: draw(words, collate(rows, pad_id=0), alone, **how))  # type: ignore[arg-type]
    same = [a.ids for own in drawn for a in own] == [own[0].ids for own in again]
    count = prompts * answers
    print(f"{prompts} prompts of {prompt_tokens} tokens, {answers} answers of {new_tokens} each")
    print(f"the same answers: {same}")
    print(f"drawing   shared {count / shared_s:6.1f} answers/s, alone {count / apart_s:6.1f}")
    known = Drawn((0.0,) * answers, ((),) * answers, new_tokens)
    forks = [e.answered([a.ids for a in own], known) for e, own in zip(asked, drawn, strict=True)]
    flat = [
        replace(e, sample_id=f"{e.sample_id}-{k}").answered([a.ids])
        for e, own in zip(asked, drawn, strict=True)
        for k, a in enumerate(own)
    ]
    for name, given in (("shared", forks), ("alone", flat)):
        batch = collate(given, pad_id=0, row_tokens=4_096)
        spent, _ = timed(lambda: words(batch, scored).logps.sum().backward())  # noqa: B023
        positions = int((batch.segments >= 0).sum())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"training  {name:6} {spent:6.2f} s, {positions} positions, peak so far {peak:.2f} GB"
        )
        if name == "shared":
            share = shared_s / (shared_s + spent)
            print(f"a step    drawing is {share:.0%} of {shared_s + spent:.2f} s")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the second of two runs, and what it gave."""
    work()
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


if __name__ == "__main__":
    typer.run(main)
