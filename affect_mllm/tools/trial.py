"""A small model of this project's own parts with random weights, and batches that are only numbers.

What `gpu-check` trains: the real engines, trainer and losses, with nothing to be fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from affect_mllm.data.loader import StepBatch
from affect_mllm.models.compressor.poolers import AttentionPooler
from affect_mllm.models.compressor.projector import Projector
from affect_mllm.models.encoders.features import FeatureEncoder
from affect_mllm.models.llm.attention import Attention
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.tools.rehearsal import Shape
from affect_mllm.train.keep.progress import Progress
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.plan import optim
from affect_mllm.train.plan.speed import Speed
from affect_mllm.train.plan.stage import Stage
from affect_mllm.train.plan.trainable import Group, select, unfreeze
from affect_mllm.train.step.agree import agree
from affect_mllm.train.step.trainer import Trainer
from affect_mllm.types import Batch, MediaBatch, Span

TRAINABLE = {"compressors": Group(r"compressors\..*", 1e-3), "lora": Group(r"llm\..*lora_.*", 1e-3)}
MEDIA, TOKENS, STATES, WIDTH = "face", 4, 16, 64  # tokens and states of an item, a state's width
AS_IT_IS = Speed(liger="never")
STEPS = 3


class Size(NamedTuple):
    """Of the LLM (a Llama with heads of 64) and of a micro-batch, `rows` × `length`."""

    hidden: int = 512
    layers: int = 4
    vocab: int = 8192
    rows: int = 2
    length: int = 1024


class Taken(NamedTuple):
    """A step's loss and the norm of its gradient before clipping, over all ranks."""

    loss: float
    grad_norm: float


class Trial:
    """Models of one size, all with the same weights, and the batches that they train on."""

    def __init__(
        self,
        folder: Path,
        size: Size,
        dtype: str = "float32",
        *,
        trainable: Mapping[str, Group] = TRAINABLE,
        speed: Speed = AS_IT_IS,
    ) -> None:
        """Writes the LLM to `folder` unless one lies there."""
        self.folder, self.size, self.dtype, self.speed = folder, size, dtype, speed
        self.stage = Stage("trial", dict(trainable), {}, steps=STEPS)
        self.objective = Objective(self.stage.losses)
        if not (folder / "config.json").exists():
            _write_llm(folder, size, dtype)

    def model(self, attention: Attention = "auto") -> AffectMLLM:
        """A new one. Every weight that trains has a gradient from the first step on."""
        from peft import LoraConfig

        targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        torch.manual_seed(1)
        lora = LoraConfig(r=8, target_modules=targets)
        dtype: Any = self.dtype
        llm = LanguageModel(str(self.folder), lora=lora, dtype=dtype, attention=attention)
        pooler = partial(AttentionPooler, num_tokens=TOKENS)
        model = AffectMLLM(
            encoders={MEDIA: FeatureEncoder(WIDTH)},
            branches={MEDIA: MEDIA},
            compressors={MEDIA: partial(Projector, pooler=pooler)},
            llm=llm,
        )
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.02)
        select(model, self.stage.trainable)
        return model.train()

    def optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """AdamW over what trains."""
        fused = next(module.parameters()).device.type != "meta"
        rates = self.stage.trainable
        groups, settings = select(module, rates), optim.AdamW(fused=fused)
        return optim.build(groups, rates, weight_decay=0.01, settings=settings)

    def batch(self, seed: int) -> Batch:
        """Two examples a row, each of an item and as many supervised tokens as others."""
        size, chance = self.size, torch.Generator().manual_seed(seed)
        ids = torch.randint(0, size.vocab, (size.rows, size.length), generator=chance)
        starts = (0, size.length * 3 // 5)
        ends = (*starts[1:], size.length)
        labels = torch.full_like(ids, -100)
        segments = torch.zeros_like(ids)
        positions = torch.zeros_like(ids)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            segments[:, start:end] = number
            positions[:, start:end] = torch.arange(end - start)
            half = (start + end) // 2
            labels[:, half:end] = ids[:, half:end]
        items = len(starts) * size.rows
        spans = tuple(
            Span(MEDIA, starts[i % len(starts)], TOKENS, i // len(starts), i) for i in range(items)
        )
        states = torch.randn(items, STATES, WIDTH, generator=chance)
        mask = torch.ones(items, STATES, dtype=torch.bool)
        media = {MEDIA: MediaBatch(states, mask, tuple(range(items)), encoded=True)}
        names = tuple(f"trial-{seed}-{i}" for i in range(items))
        return Batch(ids, labels, positions, segments, spans, media, names)

    def shape(self, batch: Batch) -> Shape:
        """What `estimate` is told of `batch`."""
        count, length = batch.media[MEDIA].mask.shape
        supervised = int((batch.labels[:, 1:] != -100).sum())
        rows, width = batch.input_ids.shape
        lengths = batch.borders.lengths
        return Shape(rows, width, supervised, {MEDIA: (count, length)}, lengths=lengths)

    def trainer(
        self, launch: Launch, attention: Attention = "auto", *, accelerator: Any = None
    ) -> Trainer:
        """This project's trainer with a new model on a new engine; nothing is written."""
        accelerator = accelerator or launch.accelerator(max_norms=[self.stage.max_grad_norm])
        engine, unused = launch.engine(accelerator), cast(Any, None)
        model = self.model(attention)
        self.speed.apply(model)
        engine.bring(model)
        engine.prepare(model, self.optimizer, max_norm=self.stage.max_grad_norm)
        return Trainer(
            engine,
            stage=self.stage,
            objective=Objective(self.stage.losses, world=engine.world),
            callbacks=[],
            checkpoints=unused,
            progress=Progress(),
        )

    def step(self, trainer: Trainer, step: int) -> Taken:
        """Step `step`, from 1, on one micro-batch a rank, always the same: it is learned."""
        batch = self.batch(trainer.engine.rank)
        own = StepBatch((batch,), self.shape(batch).supervised, len(batch.sample_ids), ())
        row = trainer.train_step(step, agree(trainer.engine, trainer.objective, own))
        return Taken(row["loss"], row["grad_norm"])

    def plain(self, world: int, device: torch.device) -> list[Taken]:
        """`STEPS` steps without trainer, engine and ranks: one model, one loop."""
        model = self.model().to(device)
        unfreeze(model, self.stage.trainable)
        optimizer, found = self.optimizer(model), []
        for step in range(1, STEPS + 1):
            optim.set_rates(optimizer, self.stage.schedule.factor(step - 1, STEPS))
            batches = [self.batch(rank).to(device) for rank in range(world)]
            count = sum(self.objective.counts(batch)["lm"] for batch in batches)
            total = 0.0
            for batch in batches:
                loss = model(batch, self.objective).losses["lm"] / count
                loss.backward()
                total += float(loss.detach())
            most = self.stage.max_grad_norm
            norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), most))
            optimizer.step()
            optimizer.zero_grad()
            found.append(Taken(total, norm))
        return found


def _write_llm(folder: Path, size: Size, dtype: str) -> None:
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=size.vocab,
        hidden_size=size.hidden,
        intermediate_size=3 * size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.hidden // 64,
        num_key_value_heads=size.hidden // 64,
    )
    shape.save_pretrained(folder)
    # transformers' own saving would leave it to rank 0, and every rank has a folder.
    weights = LlamaForCausalLM(shape).to(getattr(torch, dtype)).state_dict()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
