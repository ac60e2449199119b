"""Operations of one training step of AffectGPT at its real sizes, and what the host waits for.

    python benchmarks/step_ops.py [--against REVISION] [--json]

The real trainer takes a step on torch's meta device, where tensors have shapes and no numbers:
three examples of face, voice and both together from cached states, in one row, bf16, LoRA, the
experiment's own stage, and the attention that an A100 gets. Counted are the dispatched operations
that run something on a device: no views, nothing that only allocates. What reads a number of the
device is a wait of the host, and is answered with ones. Sizes are those of the published
config.json files, written here: nothing is fetched, and no weight exists.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from affect_mllm import config
from affect_mllm.data.loader import StepBatch
from affect_mllm.models import precision
from affect_mllm.models.llm import attention
from affect_mllm.models.pretrained import weightless
from affect_mllm.train.keep.progress import Progress
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.plan import optim
from affect_mllm.train.plan.trainable import select
from affect_mllm.train.step.agree import agree
from affect_mllm.train.step.trainer import Trainer
from affect_mllm.types import Batch, MediaBatch, Span

Found = dict[str, Any]
META = torch.device("meta")
PHASES = ("forward", "backward", "gradients and update")
PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "linear", "matmul", "convolution")
FREE = ("empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view", "detach", "lift_fresh")
STATES = {"face": (8, 768), "audio": (8, 1024)}  # of a clip, as the encoders make them
EXAMPLES, PROMPT, ANSWER = 3, 160, 40  # of a micro-batch; tokens of each, media included
# As published with Qwen2.5-7B-Instruct, CLIP ViT-L/14 and chinese-hubert-large.
# fmt: off
QWEN = {
    "model_type": "qwen2", "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944,
    "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
    "max_position_embeddings": 32768, "rope_theta": 1000000.0, "rms_norm_eps": 1e-06,
    "tie_word_embeddings": False,
}
CLIP = {
    "model_type": "clip", "projection_dim": 768,
    "vision_config": {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "num_attention_heads": 16, "patch_size": 14, "projection_dim": 768,
    },
    "text_config": {"projection_dim": 768},
}
HUBERT = {
    "model_type": "hubert", "hidden_size": 1024, "intermediate_size": 4096,
    "num_hidden_layers": 24, "num_attention_heads": 16, "feat_extract_norm": "layer",
    "conv_bias": True, "do_stable_layer_norm": True,
}
# fmt: on


def main() -> None:
    """Print one row a phase, beside those of another version, and the commonest operations."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--against", help="a commit to compare with")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    found = counted()
    if options.json:
        print(json.dumps(found))
        return
    before = None if options.against is None else _at(options.against)
    _show(found, before)


def _at(revision: str) -> Found:
    sys.path.insert(0, str(Path(__file__).parent))
    from another_version import numbers_at  # which the other version may lack

    here = Path(__file__)
    return numbers_at(revision, here, text=lambda _: here.read_text(encoding="utf-8"))


def counted(**changes: int) -> Found:
    """Operations outside products and attention by phase and name; those two; waits by place.

    `changes` are to the LLM's sizes.
    """
    with tempfile.TemporaryDirectory() as folder, on_meta():
        trainer, first = _trainer(Path(folder), changes), Ops()
        for ops in (first, second := Ops()):  # the first one makes the optimizer's state
            with ops, ops.of(trainer.engine):
                part = agree(trainer.engine, trainer.objective, _batch())
                trainer.train_step(1, part)
    return {"ops": second.ops} | {
        "products": second.products,
        "attention": second.attention,
        "waits": second.waits,
    }


@contextmanager
def on_meta() -> Iterator[None]:
    """The meta device as an A100 is taken: autocast, and what is fused there."""
    plain, fits = torch.autocast, attention.unfit

    def autocast(device: str, dtype: Any = None, **options: Any) -> Any:
        meta = device == "meta"
        return precision.autocast_on_meta(dtype) if meta else plain(device, dtype, **options)

    changes = {
        "torch.autocast": autocast,
        "torch.nn.functional.dropout": _dropout,
        "affect_mllm.models.llm.attention.unfit": lambda _, value: fits("cuda", value),
        "torch.optim.adam._device_dtype_check_for_fused": lambda *_, **__: None,
        "torch.optim.Optimizer._accelerator_graph_capture_health_check": lambda *_: None,
    }
    with _instead(changes):
        yield


def _dropout(
    values: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    """One kernel, as on CUDA."""
    del inplace
    return torch.native_dropout(values, p, True)[0] if training and p else values


@contextmanager
def _instead(changes: dict[str, Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for name, change in changes.items():
            stack.enter_context(mock.patch(name, change))
        yield


def _trainer(folder: Path, changes: dict[str, int]) -> Trainer:
    """The experiment's own, of its stage, on a model without weights."""
    parts = {"llm": QWEN | changes, "visual": CLIP, "audio": HUBERT}
    for name, sizes in parts.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(sizes))
    cfg = config.compose(
        "train",
        [
            "experiment=affectgpt",
            f"model.llm.model={folder / 'llm'}",
            *(f"model.encoders.{name}.model={folder / name}" for name in ("visual", "audio")),
        ],
    )
    gpu = {
        "torch.cuda.is_available": lambda: True,
        "torch.cuda.get_device_capability": lambda *_: (8, 0),
    }
    with META, weightless(), _instead(gpu):
        model = config.build(cfg.model)
    stage = config.build(cfg.stages.affectgpt)
    alone: Any = SimpleNamespace(
        device=META, process_index=0, num_processes=1, is_main_process=True
    )
    engine = Engine(alone, strategy="single", precision="bf16")

    def optimizer(module: torch.nn.Module) -> torch.optim.Optimizer:
        groups = select(module, stage.trainable)
        given = {"weight_decay": stage.weight_decay, "settings": stage.optimizer}
        return optim.build(groups, stage.trainable, **given)

    engine.prepare(model.train(), optimizer, max_norm=stage.max_grad_norm)
    none: Any = None
    return Trainer(
        engine,
        stage=stage,
        objective=Objective(stage.losses),
        callbacks=[],
        checkpoints=none,
        progress=Progress(),
    )


def _batch() -> StepBatch:
    """Three examples in one row, each of a face, a voice and both together."""
    length = PROMPT + ANSWER
    whole = EXAMPLES * length
    ids = torch.zeros(1, whole, dtype=torch.long)
    numbers = torch.arange(whole)
    labels = torch.where(numbers % length < PROMPT, -100, 7)[None]
    spans = [
        Span(name, number * length + 10 * (place + 1), 1, 0, number)
        for number in range(EXAMPLES)
        for place, name in enumerate(("face", "audio", "multi"))
    ]
    everyone = tuple(range(EXAMPLES))
    media = {
        name: MediaBatch(
            torch.zeros(EXAMPLES, *size), torch.ones(EXAMPLES, size[0]).bool(), everyone, True
        )
        for name, size in STATES.items()
    }
    segments, positions = numbers // length, numbers % length
    names = tuple(str(number) for number in everyone)
    batch = Batch(
        ids, labels, positions[None], segments[None], tuple(spans), media, names, ({},) * EXAMPLES
    )
    return StepBatch((batch,), int((labels[:, 1:] != -100).sum()), EXAMPLES, ())


class Ops(TorchDispatchMode):
    """Counts what runs on the device by phase, and answers the host's questions about it."""

    def __init__(self) -> None:
        super().__init__()
        self.phase, self.ops = PHASES[0], {phase: Counter[str]() for phase in PHASES}
        self.products, self.attention = Counter[str](), Counter[str]()
        self.waits = Counter[str]()

    @contextmanager
    def of(self, engine: Any) -> Iterator[None]:
        """Inside it, a phase begins where the engine is asked for it."""

        def told(name: str, phase: str) -> Any:
            plain = getattr(engine, name)

            def begun(*args: Any, **options: Any) -> Any:
                self.phase = phase
                return plain(*args, **options)

            return mock.patch.object(engine, name, begun)

        names = zip(("forward", "backward", "exchange"), PHASES, strict=True)
        with ExitStack() as stack:
            for name, phase in names:
                stack.enter_context(told(name, phase))
            yield

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run `func` on shapes; what it would tell the host is one."""
        kwargs = kwargs or {}
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        there = any(each.is_meta for each in given)
        name = func._schema.name.removeprefix("aten::")
        if there and name == "_local_scalar_dense":
            return self._answer(1.0 if given[0].is_floating_point() else 1)
        if there and name == "_to_copy" and str(kwargs.get("device")) == "cpu":
            return self._answer(
                torch.ones(given[0].shape, dtype=kwargs.get("dtype") or given[0].dtype)
            )
        if name.startswith("_fused_adam"):
            self._count(name)
            return None
        made = func(*args, **kwargs)
        on_it = there or any(getattr(each, "is_meta", False) for each in tree_leaves(made))
        if on_it and not _is_free(func, name):
            self._count(name)
        return made

    def _answer(self, value: Any) -> Any:
        self.waits[_place()] += 1
        return value

    def _count(self, name: str) -> None:
        if name in PRODUCTS:
            self.products[name] += 1
        elif "attn" in name or "attention" in name:
            self.attention[name] += 1
        else:
            self.ops[self.phase][name] += 1


def _is_free(func: Any, name: str) -> bool:
    """Whether it starts no kernel: a view of its input, or memory that nothing is written to."""
    alias = [each.alias_info for each in func._schema.returns]
    views = bool(alias) and all(each is not None and not each.is_write for each in alias)
    return views or name in FREE


def _place() -> str:
    """File and function of ours that asked."""
    frame: Any = sys._getframe(3)
    while frame is not None:
        name = frame.f_code.co_filename
        if "/affect_mllm/" in name:
            return f"{name.split('/affect_mllm/')[-1]}, {frame.f_code.co_name}"
        frame = frame.f_back
    return "elsewhere"


def _show(found: Found, before: Found | None) -> None:
    columns = [found] if before is None else [before, found]
    heads = ["now"] if before is None else ["before", "now"]
    rows = [(phase, [sum(each["ops"][phase].values()) for each in columns]) for phase in PHASES]
    rows += [("all three", [sum(row[1][i] for row in rows) for i in range(len(columns))])]
    rows += [
        (name, [sum(each[key].values()) for each in columns])
        for name, key in (
            ("matrix products", "products"),
            ("attention", "attention"),
            ("waits of the host", "waits"),
        )
    ]
    print(f"{'':28}", *(f"{head:>8}" for head in heads))
    for name, numbers in rows:
        print(f"{name:28}", *(f"{number:8,}" for number in numbers))
    print("\nwaits:", "; ".join(f"{where} ({n})" for where, n in sorted(found["waits"].items())))
    every = [sum((Counter(each["ops"][phase]) for phase in PHASES), Counter()) for each in columns]
    print("\nthe commonest operations")
    for name, _ in every[-1].most_common(15):
        print(f"{name:28}", *(f"{each[name]:8,}" for each in every))


if __name__ == "__main__":
    main()
