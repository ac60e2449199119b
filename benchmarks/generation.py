"""Generation in batches of 1, 4 and 16 on the demo's parts: samples/s, and whether answers differ.

    python benchmarks/generation.py [--quick]

The model is `experiment=demo` with trained-from-nothing connectors and random encoder states of
real lengths, as the feature cache would give them; nothing is decoded. Baseline: batches of 1.
float32 must give identical answers in every batch; of bfloat16 the share that changes is shown.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
import torch
import typer
from measured import Row, report

from affect_mllm import config
from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.types import Sample

SIZES = (1, 4, 16)
QUESTION = "Describe the person's emotion and the cues."


def main(quick: Annotated[bool, typer.Option(help="16 samples, 8 tokens, once.")] = False) -> None:
    """Print one row a precision and batch size."""
    count, tokens, rounds = (16, 8, 1) if quick else (48, 32, 3)
    print(f"{count} samples, {tokens} new tokens each, {torch.get_num_threads()} threads")
    print(f"{'dtype':9} {'batch':>5} {'samples/s':>10} {'× batch 1':>10} {'answers changed':>16}")
    rows = []
    for dtype in ("float32", "bfloat16"):
        model, examples = _prepared(dtype, count)
        made = [
            {size: _generate(model, examples, size=size, tokens=tokens) for size in SIZES}
            for _ in range(rounds)
        ]
        for size in SIZES:
            ratios = [each[size][0] / each[1][0] for each in made]
            rows.append(Row.of(f"samples/s, batches of {size}, {dtype}", "of 1", ratios, "higher"))
            rate, answers = made[0][size]
            changed = sum(a != b for a, b in zip(answers, made[0][1][1], strict=True))
            ratio = rows[-1].ratio
            print(f"{dtype:9} {size:5} {rate:10.2f} {ratio:10.2f} {changed:9} of {count}")
    report([row for row in rows if "of 1," not in row.what])


def _prepared(dtype: str, count: int) -> tuple[Any, list[Example]]:
    cfg = config.checked(config.compose("train", ["experiment=demo", f"model.llm.dtype={dtype}"]))
    torch.manual_seed(0)
    model = config.build(cfg.model).eval()
    maker = config.build(cfg.data).maker(model.llm.tokenizer, model.span_lengths())
    return model, [_example(model, maker, number) for number in range(count)]


def _example(model: Any, maker: Any, number: int) -> Example:
    """A prompt with 8 faces, 2 to 6 s of sound and a subtitle of varied length."""
    rng = np.random.default_rng(number)
    lengths = {"face": 32, "audio": int(rng.integers(100, 300))}
    widths = {name: int(model.encoders[model.branches[name]].hidden_size) for name in lengths}
    states = {
        name: rng.standard_normal((length, widths[name])).astype(np.float32)
        for name, length in lengths.items()
    }
    subtitle = " ".join(["I did not expect that"] * int(rng.integers(1, 5)))
    sample = Sample(f"s{number}", config.conf_dir(), subtitle=subtitle)
    return maker.make(sample, states, question=QUESTION)


def _generate(
    model: Any, examples: list[Example], *, size: int, tokens: int
) -> tuple[float, list[str]]:
    """Samples/s over all examples, and the answers in their order; one batch warms up."""
    ordered = sorted(range(len(examples)), key=lambda i: -len(examples[i]))
    _ask(model, [examples[ordered[0]]], 2)
    answers = [""] * len(examples)
    began = time.perf_counter()
    for start in range(0, len(ordered), size):
        part = ordered[start : start + size]
        for place, text in zip(part, _ask(model, [examples[i] for i in part], tokens), strict=True):
            answers[place] = text
    return len(examples) / (time.perf_counter() - began), answers


def _ask(model: Any, examples: list[Example], tokens: int) -> list[str]:
    batch = collate(examples, pad_id=model.llm.tokenizer.pad_token_id or 0)
    with torch.autocast("cpu", torch.bfloat16, enabled=model.llm.is_bf16):
        return model.generate(batch, max_new_tokens=tokens)[0]


if __name__ == "__main__":
    typer.run(main)
