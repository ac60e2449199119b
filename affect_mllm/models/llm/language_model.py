"""The language model: any causal LM of transformers, with LoRA put in place by peft."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat
from torch import nn

from affect_mllm.borders import Borders
from affect_mllm.config import weights_path
from affect_mllm.models.decoding import Chooser, Listener, stopping, take_over
from affect_mllm.models.llm.attention import MASKED, Attention, arguments, choose
from affect_mllm.models.llm.deepstack import Deep, prompted
from affect_mllm.models.llm.masks import additive, branched, decoder_masks
from affect_mllm.models.llm.neftune import noisy
from affect_mllm.models.llm.prompt import Prompt
from affect_mllm.models.llm.quantize import Quantize, keep_unpacked, quantized
from affect_mllm.models.pretrained import load_tokenizer, loading
from affect_mllm.types import ConfigError


class LanguageModel(nn.Module):
    """A causal LM split where training needs it: embed, hidden states, logits at chosen places.

    `model` is `asset:NAME`, a local folder or a Hub id. `lora` is peft's LoraConfig or None.
    The base weights are frozen and kept in `dtype`, or in four or eight bits (`quantize`, by
    bitsandbytes: QLoRA is `nf4` with LoRA); LoRA weights are kept in float32. A stage that names
    `llm.net` weights as trainable tunes them in full.
    `attention=auto` is the best fused kernel where it runs (CUDA, half precision), else `blocked`.
    `neftune_alpha` is the size of the noise on embeddings of words in training (NEFTune; 0: none).
    """

    packs = True  # several examples can share a row

    def __init__(
        self,
        model: str,
        *,
        lora: Any = None,
        dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16",
        attention: Attention = "auto",
        quantize: Quantize = "none",
        neftune_alpha: NonNegativeFloat = 0.0,
    ) -> None:
        super().__init__()
        path = weights_path(model)
        self.attention = choose(attention)
        self.quantize: Quantize = quantize
        self.neftune_alpha = neftune_alpha
        with loading(model, "a causal LM"):
            self.tokenizer: Any = load_tokenizer(path)
            self.net: Any = self._load(path, dtype)
        keep_unpacked(self.net)
        take_over(self.net, model)
        self.net.requires_grad_(False)
        self.dtype: torch.dtype = self.net.dtype  # of the base; what a stage trains is float32
        self.config: Any = self.net.config.get_text_config()
        _check_head(model, self.config.to_dict())
        self.hidden_size = int(self.config.hidden_size)
        self.embedding_rms = self._embedding_rms()
        self.has_lora = lora is not None
        if lora is not None:
            from affect_mllm.models.llm.lora import add_lora

            add_lora(self.net, lora, quantized=self.quantize != "none")

    @classmethod
    def tiny(cls, model: str, folder: Path) -> dict[str, Any]:
        """Tiny random weights of that architecture and a tokenizer, as `Encoder.tiny`."""
        from affect_mllm.models.tiny.language import tiny_llm

        return tiny_llm(model, folder)

    def _apply(self, fn: Any, recurse: bool = True) -> LanguageModel:
        """`to`, `float` and their like change the dtype of the base too."""
        super()._apply(fn, recurse)
        self.dtype = fn(torch.empty(0, dtype=self.dtype, device=self.device)).dtype
        return self

    def _load(self, path: str, dtype: str) -> Any:
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype,
            attn_implementation=self.attention,
            use_safetensors=True,
            **quantized(self.quantize),
        )

    @torch.no_grad()
    def _embedding_rms(self) -> float:
        """The size of a token's embedding as the decoder gets it: Gemma scales them on the way."""
        layer = self.net.get_input_embeddings()
        if layer.weight.is_meta:
            return 1.0  # of a model without weights any value will do
        few = layer.weight[:64].float()
        scale = self.embed(torch.arange(len(few), device=few.device)).float().norm() / few.norm()
        return float(layer.weight.float().pow(2).mean().sqrt() * scale)

    def embed(self, input_ids: torch.Tensor, segments: torch.Tensor | None = None) -> torch.Tensor:
        """Token embeddings `[R, L, H]`; with `segments`, noisy while training (`neftune_alpha`)."""
        embeds = self.net.get_input_embeddings()(input_ids)
        if self.training and self.neftune_alpha and segments is not None:
            return noisy(embeds, segments, self.neftune_alpha)
        return embeds

    def hidden_states(
        self,
        inputs_embeds: torch.Tensor,
        segments: torch.Tensor,
        position_ids: torch.Tensor,
        *,
        borders: Borders | None = None,
        deep: Deep | None = None,
        branches: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Last hidden states `[R, L, H]`; attention is causal and stays inside a segment.

        `position_ids` is `[R, L]`, or `[3, R, L]` where a VLM counts time, height and width.
        `borders` are those of the segments, asked of the device unless given. Of several answers
        to one prompt (`Batch.branches`) each sees the prompt and itself. Raises ConfigError where
        examples share a row and must not.
        """
        if not self.packs:
            borders = borders or Borders.of(segments)
            if len(borders.lengths) > len(segments) or branches is not None:
                raise ConfigError(
                    "launch.row_tokens",
                    f"several examples, or answers, in a row of a {self.config.model_type}",
                    expected="one: its linear attention reads what stands before, masked or not",
                    fix="set launch.row_tokens=0",
                )
        if self.attention not in MASKED:
            borders = borders or Borders.of(segments, branches)
            return self._flat_hidden_states(inputs_embeds, borders, position_ids, deep)
        config = self.config.to_dict()
        if branches is None:
            masks = decoder_masks(segments, config)
        else:
            borders = borders or Borders.of(segments, branches)
            masks = branched(segments, branches, borders, config)
        more = deep.arguments() if deep else {}
        return self.decoded(inputs_embeds, masks, position_ids, use_cache=False, **more)

    def decoded(
        self,
        embeds: torch.Tensor,
        masks: dict[str, torch.Tensor],
        position_ids: torch.Tensor,
        **more: Any,
    ) -> torch.Tensor:
        """Last hidden states of `embeds`, which see `masks`; `more` is told the decoder."""
        output = self.net.get_decoder()(
            inputs_embeds=embeds,
            attention_mask=self.as_given(masks, embeds.dtype),
            position_ids=position_ids,
            **more,
        )
        return output.last_hidden_state

    def as_given(self, masks: dict[str, torch.Tensor], dtype: torch.dtype) -> Any:
        """Boolean masks by kind of layer in the form that the decoder takes them in."""
        given = masks
        if self.attention == "eager":  # adds its mask to the scores, where others want a boolean
            given = {name: additive(each, dtype) for name, each in masks.items()}
        return given if len(given) > 1 else next(iter(given.values()))

    def _flat_hidden_states(
        self,
        inputs_embeds: torch.Tensor,
        borders: Borders,
        position_ids: torch.Tensor,
        deep: Deep | None,
    ) -> torch.Tensor:
        """The same from one row of all real positions: padding is never computed (zeros here)."""
        places, rows = borders.places, inputs_embeds.flatten(0, 1)
        output = self.net.get_decoder()(
            inputs_embeds=rows.index_select(0, places).unsqueeze(0),
            # With none, transformers asks the device whether positions restart; of a ready one it
            # asks nothing, and attention by borders does not look at it.
            attention_mask=rows.new_empty(1, 1, 1, 1),
            position_ids=position_ids.flatten(-2).index_select(-1, places).unsqueeze(-2),
            use_cache=False,
            **arguments(borders),
            **(deep.flat(places).arguments() if deep else {}),
        )
        states = output.last_hidden_state.squeeze(0)
        padded = torch.zeros(rows.shape, dtype=states.dtype, device=states.device)
        return padded.index_copy(0, places, states).view(inputs_embeds.shape)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Vocabulary logits of hidden states `[…, H]`."""
        return self.net.get_output_embeddings()(hidden)

    @property
    def device(self) -> torch.device:
        """Where the weights are; naming one would make ZeRO-3 gather it, on this rank alone."""
        return next(self.net.parameters()).device

    @property
    def is_bf16(self) -> bool:
        """Whether the base weights are bfloat16, and arithmetic around them should be."""
        return self.dtype == torch.bfloat16

    def generate(self, prompt: Prompt, **options: Any) -> torch.Tensor:
        """New token ids `[R, T]` of left-padded prompts; `options` are transformers'."""
        with prompted(self.net.get_decoder(), prompt.deep):
            return self.net.generate(
                inputs_embeds=prompt.embeds.to(self.dtype),
                attention_mask=prompt.real.long(),
                position_ids=prompt.positions,
                synced_gpus=False,  # the weights are whole: ranks need not take equally many steps
                **options,
            )

    def answers(
        self, prompt: Prompt, *, max_new_tokens: int, end_id: int | None = None
    ) -> list[str]:
        """Greedy continuations of left-padded prompts up to `end_id`, as text."""
        return self.written(prompt, max_new_tokens=max_new_tokens, end_id=end_id)[0]

    def written(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        end_id: int | None = None,
        chooser: Chooser | None = None,
        listener: Listener | None = None,
    ) -> tuple[list[str], list[bool], list[int]]:
        """The same, which of them the limit of tokens cut off, and how many tokens each has, the
        one that ends it included.

        `end_id` is the chat's (`data.chat.Chat.end_id`); None: the tokenizer's eos. `chooser` draws
        tokens in place of the likeliest one (`decoding.Repeat.chooser`). A row that the `listener`
        does not wait for ends where it is.
        """
        from transformers import LogitsProcessorList, StoppingCriteriaList

        tokenizer = self.tokenizer
        end = tokenizer.eos_token_id if end_id is None else end_id
        ids = self.generate(
            prompt,
            do_sample=False,
            max_new_tokens=max_new_tokens,
            logits_processor=chooser and LogitsProcessorList([chooser]),
            stopping_criteria=listener and StoppingCriteriaList([stopping(listener)]),  # pyright: ignore
            eos_token_id=end,
            pad_token_id=end if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
        )
        rows = ids.tolist()
        said = [row[: row.index(end)] if end in row else row for row in rows]
        texts = tokenizer.batch_decode(said, skip_special_tokens=True)
        cut_off = [end not in row for row in rows]
        counts = [len(part) + (not cut) for part, cut in zip(said, cut_off, strict=True)]
        return [text.strip() for text in texts], cut_off, counts

    def use_lora(self, enabled: bool) -> None:
        """Switch LoRA's branches on or off; off is exact while they are still zero, and cheaper."""
        if not self.has_lora:
            return
        from peft.tuners.lora import LoraLayer

        for module in self.net.modules():
            if isinstance(module, LoraLayer):
                module.enable_adapters(enabled)

    def lora_is_zero(self) -> bool:
        """True while LoRA cannot change any output (of each product one factor is zero)."""
        from affect_mllm.models.llm.lora import lora_is_zero

        return lora_is_zero(self.net)


def _check_head(model: str, config: dict[str, Any]) -> None:
    """Refuse a model that changes its logits behind the head: losses take the head alone."""
    changes = {"final_logit_softcapping": None, "logit_scale": 1, "logits_scaling": 1}
    found = [
        f"{key}={config[key]}"
        for key, plain in changes.items()
        if config.get(key) is not None and config[key] != plain
    ]
    if found:
        raise ConfigError(
            "llm.model",
            f"{model} has {', '.join(found)}",
            expected="a causal LM whose logits are its head's",
            fix="take another, such as Gemma 3 in place of Gemma 2",
        )
