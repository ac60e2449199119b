"""A Hugging Face VLM whose merger is the hybrid compressor, and an omni model's audio tail too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from affect_mllm.config import weights_path
from affect_mllm.media.mel import ClipMel
from affect_mllm.media.patches import PatchTransform
from affect_mllm.models.compressor.base import Compressor, Expert
from affect_mllm.models.encoders.base import Encoder, States
from affect_mllm.models.llm.attention import Attention
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.pretrained import loading
from affect_mllm.models.spans import Limit, Limits
from affect_mllm.models.vlm.audio_tower import AudioTower, TailExpert, sound_count, take_tail
from affect_mllm.models.vlm.placeholder import (
    SOUND,
    SoundingPlaceholder,
    SoundPlaceholder,
    VisionPlaceholder,
)
from affect_mllm.models.vlm.slow_steps import SlowFastSteps
from affect_mllm.models.vlm.vision_tower import MergerExpert, VisionTower
from affect_mllm.models.vlm.vlm_family import Hearing
from affect_mllm.models.vlm.vlm_text import VLMText
from affect_mllm.types import Batch, CheckpointError, ConfigError, MediaBatch, SpanRule

VISUAL = "visual"
VIDEO = ("frame", "face")  # several pictures in time; `image` is one


class NativeVLM(AffectMLLM):
    """A VLM of transformers (`vlm_family`) with the hybrid compressor as its merger.

    `model` is a local folder or a Hub id. Every expert begins as a copy of the VLM's merger, so
    that at step 0 the logits are the VLM's own (Emotion-Qwen, arXiv 2505.06685, figure;
    24DavidHuang/Emotion-Qwen@8c52bf3 names the parts). Tokens depend on the pictures' sizes;
    `image_pixels` and `video_pixels` are the fewest and most of one picture and of one frame.

    Of an omni model it is the thinker, whose audio tower is the encoder `audio` and whose last
    modules of that tower are a second compressor's experts. `sound` says where the sound of a
    video goes that is both seen and heard: among its frames, as the base has it (`interleaved`,
    its default), or as an item of its own (`apart`, as HumanOmniV2 has it).
    `compressor` takes the merger's place, `lora` is peft's LoraConfig or null, `dtype` what the
    base's weights are kept in, `attention` the kernel, `pooling` makes few tokens of long videos'
    steps (null: all).
    """

    def __init__(
        self,
        model: str,
        *,
        compressor: Callable[..., Compressor],
        lora: Any = None,
        dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16",
        attention: Attention = "auto",
        image_pixels: tuple[int, int] = (56 * 56, 28 * 28 * 1280),
        video_pixels: tuple[int, int] = (56 * 56, 28 * 28 * 256),
        sound: Literal["interleaved", "apart"] | None = None,
        pooling: SlowFastSteps | None = None,
    ) -> None:
        llm = VLMText(model, lora=lora, dtype=dtype, attention=attention)
        visual = llm.take_tower()
        merger, merge = visual.merger, int(visual.spatial_merge_size)
        transforms = {
            name: _transform(model, visual.config, pixels)
            for name, pixels in (("image", image_pixels), ("video", video_pixels))
        }
        encoders: dict[str, Encoder] = {
            VISUAL: VisionTower(
                visual, transform=transforms["video"], deepstack=llm.family.deepstack
            )
        }
        experts: dict[str, Callable[..., Expert]] = {
            VISUAL: partial(_expert, merger=merger, merge=merge)
        }
        hearing = llm.family.hearing
        if hearing is not None:
            net = llm.take_tower("audio_tower")
            experts[SOUND] = partial(_sound_expert, tail=take_tail(net, hearing.tail))
            encoders[SOUND] = AudioTower(net, transform=_mel(model, net, hearing))
        elif sound is not None:
            raise ConfigError(
                "model.sound",
                f"{sound}, and {llm.family.name} does not hear",
                expected="a base with an audio tower",
                fix="leave it out, or take an omni model",
            )
        super().__init__(
            encoders=encoders,
            branches=dict.fromkeys((*VIDEO, "image"), VISUAL) | ({SOUND: SOUND} if hearing else {}),
            compressors={
                name: partial(compressor, expert=expert) for name, expert in experts.items()
            },
            llm=llm,
        )
        self.image_transform = transforms["image"]
        self.sound = sound or "interleaved"
        if pooling is not None and hearing is not None:
            raise ConfigError(
                "model.pooling",
                f"with {llm.family.name}, which hears",
                expected="a base whose videos stand by themselves",
                fix="leave it out",
            )
        self.pooling = pooling

    @classmethod
    def tiny(cls, model: str, folder: Path) -> dict[str, Any]:
        """Tiny random weights of that VLM and a processor, as `Encoder.tiny`."""
        from affect_mllm.models.tiny.language import tiny_vlm

        return tiny_vlm(model, folder)

    def encode(self, modality: str, items: MediaBatch) -> States:
        """The towers' states of one modality's items: of every patch, or of a sound."""
        if items.encoded:
            raise ConfigError(
                "native VLM", "states from a feature cache", fix="set data.cache_dir=null"
            )
        if modality == SOUND:
            return self.encoders[SOUND](items.values, items.mask)
        tower = self._tower
        if items.values.shape[-1] != tower.patch_length:
            raise ConfigError(
                "native VLM",
                f"patches of {items.values.shape[-1]} numbers",
                expected=f"{tower.patch_length}",
                fix="take the model's own transforms",
            )
        return tower(items.values, items.mask, items.grids)

    def positions(self, batch: Batch) -> torch.Tensor:
        """Positions in time, height and width `[3, R, L]`, as the VLM itself counts them."""
        pooling, merge = self.pooling, self._tower.merge
        kept = None if pooling is None else partial(pooling.kept, merge=merge)
        return self.vlm.positions(batch, VIDEO, kept)

    def shortened(
        self, name: str, items: Sequence[torch.Tensor], batch: Batch
    ) -> Sequence[torch.Tensor]:
        """Videos with some of their time steps pooled, if the model says so."""
        if self.pooling is None or name not in VIDEO:
            return items
        merge, grids = self._tower.merge, batch.on_host.media[name].grids
        both = zip(items, grids, strict=True)
        return [self.pooling.tokens(item, grid, merge) for item, grid in both]

    def limits(self) -> Limits:
        """Of sounds, that there is a token; a vision tower reads whatever a picture is cut into."""
        if SOUND not in self.encoders:
            return Limits({})
        tower = self._audio_tower
        return Limits({SOUND: Limit(tower.state_count(), tower.least_steps())})

    def span_lengths(self) -> dict[str, SpanRule]:
        """Rules, since tokens depend on the size of pictures and the length of sounds."""
        config, merge = self.llm.net.config, self._tower.merge
        ends = (config.vision_start_token_id, config.vision_end_token_id)
        image = VisionPlaceholder(merge, *ends, config.image_token_id)
        video = VisionPlaceholder(
            merge,
            *ends,
            config.video_token_id,
            stamped=self.vlm.family.stamped,
            pooling=self.pooling,
        )
        hearing = self.vlm.family.hearing
        if hearing is None:
            return {**dict.fromkeys(VIDEO, video), "image": image}
        count = self._audio_tower.count
        ids = (config.audio_start_token_id, config.audio_end_token_id, config.audio_token_id)
        if self.sound == "interleaved":
            video = SoundingPlaceholder(
                merge,
                *ends,
                config.video_token_id,
                count=count,
                sound=ids,
                mixed=hearing.mixed,
                per_second=float(config.position_id_per_seconds),
                chunk_s=float(getattr(config, "seconds_per_chunk", 2)),
            )
        heard = SoundPlaceholder(count, *ids)
        return {**dict.fromkeys(VIDEO, video), "image": image, SOUND: heard}

    def transforms(self) -> dict[str, Callable[..., Any]]:
        """Resizing pictures, of which images and videos have limits of their own; log-mels."""
        found = {**dict.fromkeys(VIDEO, self._tower.transform), "image": self.image_transform}
        if SOUND in self.encoders:
            found[SOUND] = self._audio_tower.transform
        return found

    def encode_clip(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Refused: a tower's states are larger than the clip that they were made of."""
        raise ConfigError(
            "native VLM",
            "a feature cache is asked for",
            expected="none: one clip's patch states take more room than the clip",
            fix="set data.cache_dir=null",
        )

    @property
    def vlm(self) -> VLMText:
        """The language model, with what only a VLM's has."""
        assert isinstance(self.llm, VLMText)
        return self.llm

    @property
    def _tower(self) -> VisionTower:
        tower = self.encoders[VISUAL]
        assert isinstance(tower, VisionTower)
        return tower

    @property
    def _audio_tower(self) -> AudioTower:
        tower = self.encoders[SOUND]
        assert isinstance(tower, AudioTower)
        return tower


def _expert(
    input_size: int, output_size: int, *, merger: nn.Module, merge: int, output_rms: float = 1.0
) -> MergerExpert:
    """A copy of the VLM's merger, whose sizes and scale are right already."""
    del input_size, output_size, output_rms
    return MergerExpert(merger, merge)


def _sound_expert(
    input_size: int, output_size: int, *, tail: nn.Module, output_rms: float = 1.0
) -> TailExpert:
    """A copy of the audio tower's tail, as `_expert`."""
    del input_size, output_size, output_rms
    return TailExpert(tail)


def _mel(model: str, net: Any, hearing: Hearing) -> ClipMel:
    """Spectrograms as the model's own processor makes them of one sound."""
    from transformers import AutoFeatureExtractor

    from affect_mllm.media.waveform import SAMPLE_RATE_HZ

    with loading(model, "an omni model with its feature extractor"):
        extractor: Any = AutoFeatureExtractor.from_pretrained(weights_path(model))
    if extractor.sampling_rate != SAMPLE_RATE_HZ:
        raise CheckpointError(
            model, f"hears at {extractor.sampling_rate} Hz", expected=f"{SAMPLE_RATE_HZ}"
        )
    window = int(extractor.n_samples) if hearing.padded else None
    least = sound_count(net).least
    return ClipMel(int(net.config.num_mel_bins), window=window, least=least)


def _transform(model: str, vision: Any, pixels: tuple[int, int]) -> PatchTransform:
    from transformers import AutoImageProcessor

    with loading(model, "a VLM with its image processor"):
        normal = AutoImageProcessor.from_pretrained(weights_path(model))
    return PatchTransform(
        patch_size=vision.patch_size,
        temporal_patch_size=vision.temporal_patch_size,
        merge_size=vision.spatial_merge_size,
        pixels=pixels,
        mean=normal.image_mean,
        std=normal.image_std,
    )
