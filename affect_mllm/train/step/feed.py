"""The batches of a stage: its training rows and the rows held out for validation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from affect_mllm.data.ahead import Ahead
from affect_mllm.data.features import ensure
from affect_mllm.data.lengths import Lengths, measure, needed
from affect_mllm.data.loader import BatchPlan, StepBatch, StepDataset, step_loader
from affect_mllm.data.mixture import Mixture
from affect_mllm.data.outline import Outliner, Room
from affect_mllm.data.settings import DataSettings
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.plan.stage import Stage
from affect_mllm.types import ConfigError


@dataclass(frozen=True)
class Feed:
    """Makes datasets while the model is still whole: the feature cache runs its encoders."""

    engine: Engine
    data: DataSettings
    launch: Launch
    seed: int

    def training(self, model: AffectMLLM, stage: Stage) -> StepDataset:
        """The stage's mixture, for this rank."""
        mixture = stage.mixture(self.seed)
        room = None if stage.rollout is None else stage.rollout.room(stage.losses.values())
        dropout = stage.modality_dropout
        return self._dataset(model, mixture, stage.batch_size, dropout=dropout, room=room)

    def held_out(self, model: AffectMLLM, stage: Stage) -> StepDataset | None:
        """The validation rows, if the stage has any."""
        if stage.validation is None:
            return None
        mixture = stage.validation_mixture(self.seed)
        return self._dataset(model, mixture, stage.batch_size, dropout=0.0)

    def loader(self, dataset: StepDataset, first: int, steps: int) -> Ahead[StepBatch]:
        """The batches of steps `first … steps − 1`."""
        return step_loader(
            dataset,
            first_step=first,
            steps=steps,
            workers=self.launch.workers,
            pinned=self.engine.device.type == "cuda",
        )

    def _hold(self, model: AffectMLLM) -> None:
        """Let frozen encoders keep their weights in what all of their passes compute in.

        Where they run in the steps, not under a strategy that splits them: it would send a block
        in one dtype; and not where answers in training are computed in another than the steps are.
        """
        steps = self.engine.dtype == torch.bfloat16 and not self.engine.splits
        cached = self.data.cache_dir is not None
        model.clip_encoder().hold(
            bf16=model.fast_encoders if cached else steps and model.llm.is_bf16
        )

    def _dataset(
        self,
        model: AffectMLLM,
        mixture: Mixture,
        batch_size: int,
        *,
        dropout: float,
        room: Room | None = None,
    ) -> StepDataset:
        engine, data, launch = self.engine, self.data, self.launch
        if launch.row_tokens and not model.llm.packs:
            raise ConfigError(
                "launch.row_tokens",
                f"{launch.row_tokens}, and this LLM's linear attention reads all of a row",
                expected="one example a row",
                fix="set launch.row_tokens=0",
            )
        features = data.features(model.transforms(), model.fingerprint, limits=model.limits())
        self._hold(model)
        ensure(
            features,
            mixture.samples()[engine.rank :: engine.world],
            model.encode_clip,
            max_bad_fraction=data.max_bad_fraction,
            gather=engine.gather,
        )
        spans, lengths = model.span_lengths(), Lengths()
        if needed(spans, features):
            rows = mixture.samples()[engine.rank :: engine.world]
            lengths = measure(features, rows, gather=engine.gather, index=data.index())
        plan = BatchPlan(
            batch_size,
            launch.micro_batches,
            launch.row_tokens,
            engine.rank,
            engine.world,
            budget=launch.budget,
            hidden_size=model.llm.hidden_size,
        )
        outliner = Outliner(
            data.maker(model.llm.tokenizer, spans),
            data.instructions,
            visual=data.reader.visual,
            still=data.reader.still is not None,
            modality_dropout=dropout,
            encoded=features.encoded,
            budget=launch.budget,
            lengths=lengths,
            positions=model.encoder_positions(),
            room=room,
        )
        return StepDataset(mixture, outliner, features, plan=plan)
