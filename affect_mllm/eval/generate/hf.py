"""A model of transformers, asked as its own chat template has it: a local folder or a Hub id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from affect_mllm.eval.chat import Reply
from affect_mllm.eval.generate.other import Drawn, short_name
from affect_mllm.eval.generate.parts import Turn
from affect_mllm.models.decoding import take_over


@dataclass(frozen=True)
class HF:
    """Any image-text-to-text model of transformers: a local folder or a Hub id."""

    model: str
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    batch_size: int = 8
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    sees, hears = True, False

    @property
    def name(self) -> str:
        """Its last path component, and a hash of the rest of its identity."""
        return short_name(self.model, self.identity())

    def identity(self) -> dict[str, str]:
        """The whole path of a folder, or the Hub id, and the data type."""
        folder = Path(self.model)
        whole = str(folder.resolve()) if folder.is_dir() else self.model
        return {"kind": "hf", "model": whole, "dtype": self.dtype}

    def generate(
        self, turns: Sequence[Turn], *, system: str, max_new_tokens: int, drawn: Drawn | None = None
    ) -> list[Reply]:
        """Answers, in batches of left-padded prompts."""
        answers: list[Reply] = []
        for start in range(0, len(turns), self.batch_size):
            end = start + self.batch_size
            answers += self._batch(
                turns[start:end],
                system=system,
                max_new_tokens=max_new_tokens,
                drawn=drawn and drawn.part(start, end),
            )
        return answers

    def _batch(
        self, turns: Sequence[Turn], *, system: str, max_new_tokens: int, drawn: Drawn | None
    ) -> list[Reply]:
        from transformers import LogitsProcessorList

        parts = self._parts()
        processor, net = parts["processor"], parts["net"]
        texts = [
            processor.apply_chat_template(
                _chat(turn, system), add_generation_prompt=True, tokenize=False
            )
            for turn in turns
        ]
        pictures = [turn.pictures for turn in turns]
        inputs = processor(
            text=texts,
            images=pictures if any(pictures) else None,
            padding=True,
            return_tensors="pt",
        ).to(net.device)
        with torch.inference_mode():
            chooser = drawn and drawn.repeat.chooser(drawn.rows, max_new_tokens)
            ids = net.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=max_new_tokens,
                logits_processor=chooser and LogitsProcessorList([chooser]),
            )
        new = ids[:, inputs["input_ids"].shape[1] :]
        ended = torch.isin(new, torch.tensor(_ends(net), device=new.device)).any(-1).tolist()
        texts = processor.batch_decode(new, skip_special_tokens=True)
        return [
            Reply(text.strip(), "stop" if done else "length")
            for text, done in zip(texts, ended, strict=True)
        ]

    def _parts(self) -> dict[str, Any]:
        if not self._loaded:
            from transformers import AutoModelForImageTextToText, AutoProcessor

            from affect_mllm.config import weights_path
            from affect_mllm.eval.ranks import ranks
            from affect_mllm.models.pretrained import loading

            path = weights_path(self.model)
            with loading(self.model, "an image-text-to-text model"):
                processor = AutoProcessor.from_pretrained(path)
                net = AutoModelForImageTextToText.from_pretrained(
                    path, dtype=self.dtype, use_safetensors=True
                )
            take_over(net, self.model)
            processor.tokenizer.padding_side = "left"  # generation goes on at the right end
            self._loaded.update(processor=processor, net=net.eval().to(ranks().device))
        return self._loaded


def _ends(net: Any) -> list[int]:
    """The ids of the tokens that end an answer; a model may have several."""
    found = net.generation_config.eos_token_id
    return [] if found is None else [found] if isinstance(found, int) else list(found)


def _chat(turn: Turn, system: str) -> list[dict[str, Any]]:
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
        for part in turn.parts
    ]
    told = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
    return [*told, {"role": "user", "content": content}]
