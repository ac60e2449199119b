"""An exported model for transformers: `forward` gives logits, `generate` token ids."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import nn
from transformers.generation.configuration_utils import GenerationConfig
from transformers.generation.utils import GenerationMixin
from transformers.modeling_outputs import CausalLMOutput
from transformers.modeling_utils import PreTrainedModel

from affect_mllm import config as configuration
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.pretrained import weightless
from affect_mllm.tools.hf.config import AffectConfig
from affect_mllm.tools.hf.inputs import Media, to_batch
from affect_mllm.types import Batch

# What transformers' `post_init` gathers from a model's parts: names and patterns without a place.
GATHERED = (
    "_keep_in_fp32_modules",
    "_no_split_modules",
    "_skip_keys_device_placement",
    "_keys_to_ignore_on_load_unexpected",
    "_keys_to_ignore_on_load_missing",
)
AUTO = ("AutoModel", "AutoModelForImageTextToText")


class AffectForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """Our model, of either kind, behind transformers' interface; LoRA is merged.

    Inputs are what `AffectProcessor` makes: right-padded prompts, spans and media.
    """

    config_class = AffectConfig
    base_model_prefix = "affect"
    main_input_name = "input_ids"
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: AffectConfig, plugins: Sequence[str] = ()) -> None:
        """`plugins` are packages whose classes the model may be made of: the caller's to name."""
        super().__init__(config)
        with config.node() as node, weightless():
            self.affect: AffectMLLM = configuration.build(node, kind=AffectMLLM, plugins=plugins)
        # What the LLM's own config.json says of decoding would fill what ours leaves open.
        self.affect.llm.net.generation_config = GenerationConfig()
        if config.experts:
            self.affect.use_experts(config.experts)
        self._keep_in_fp32_modules_strict = set(config.float32_parts)
        self.post_init()
        self._gather_from_below()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        spans: torch.Tensor | None = None,
        media: Media | None = None,
        labels: torch.Tensor | None = None,
    ) -> CausalLMOutput:
        """Logits `[N, L, V]`, and the mean token loss where `labels` `[N, L]` are given."""
        batch = self._batch(input_ids, attention_mask, spans, media)
        with self._arithmetic():
            logits = self.affect(batch, lambda m, _, hidden: m.llm.logits(hidden.states)).float()
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten().to(self.device)
            )
        return CausalLMOutput(loss=loss, logits=logits)

    @torch.no_grad()
    def generate(  # type: ignore[override]
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        spans: torch.Tensor | None = None,
        media: Media | None = None,
        **generation: Any,
    ) -> torch.Tensor:
        """New token ids `[N, T]`; `generation` are transformers' options (`max_new_tokens` …)."""
        batch = self._batch(input_ids, attention_mask, spans, media)
        settings = copy.deepcopy(
            generation.pop("generation_config", None) or self.generation_config
        )
        others = settings.update(**generation)
        with self._arithmetic():
            prompt, _ = self.affect.prompt(batch)
            return self.affect.llm.generate(prompt, generation_config=settings, **others)

    def get_input_embeddings(self) -> nn.Module:
        """The LLM's."""
        return self.affect.llm.net.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The LLM's."""
        return self.affect.llm.net.get_output_embeddings()

    def _gather_from_below(self) -> None:
        """What transformers' models in our plain modules say of themselves, tied weights foremost.

        `post_init` asks direct children only, and would lose that a head is the embeddings.
        """
        self.all_tied_weights_keys = self.get_expanded_tied_weights_keys(all_submodels=True)
        for name, module in self.named_modules():
            if module is self or not isinstance(module, PreTrainedModel):
                continue
            for kind in GATHERED:
                getattr(self, kind).update(getattr(module, kind, None) or ())
            unsaved = {f"{name}.{key}" for key in module._keys_to_ignore_on_save or ()}
            self._keys_to_ignore_on_save = {*(self._keys_to_ignore_on_save or ()), *unsaved}

    def _init_weights(self, module: nn.Module) -> None:
        """Our modules set theirs when they are made; transformers' parts see to themselves."""

    def _arithmetic(self) -> torch.autocast:
        """As the checkpoint was evaluated: bfloat16 products around a bfloat16 LLM."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.affect.llm.is_bf16)

    def _batch(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        spans: torch.Tensor | None,
        media: Media | None,
    ) -> Batch:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        places = torch.zeros(0, 5, dtype=torch.long) if spans is None else spans
        given: Mapping[str, Any] = media or {}
        return to_batch(input_ids, mask, places, given).to(self.device)


def register(module: ModuleType) -> None:
    """Make the Auto classes of models know exported ones."""
    for name in AUTO:
        getattr(module, name).register(AffectConfig, AffectForConditionalGeneration, exist_ok=True)
