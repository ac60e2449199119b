"""The data side of a run: questions, prompt, reader and cache, the same for training and eval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affect_mllm.data.cache import FeatureCache
from affect_mllm.data.chat import Chat, ChatFormat
from affect_mllm.data.example import ExampleMaker
from affect_mllm.data.features import Features
from affect_mllm.data.reader import Reader, Transform
from affect_mllm.data.template import Conversation, Instruction, Prompt
from affect_mllm.types import SpanRule


@dataclass(frozen=True)
class DataSettings:
    """What `conf/data` holds. `cache_dir=null` runs the encoders on every visit instead.

    `chat` makes the chat format for a tokenizer: the LLM's own template, or another by `_partial_`.
    """

    instructions: dict[str, Instruction | Conversation]
    prompt: Prompt = field(default_factory=Prompt)
    chat: Callable[..., Chat] = ChatFormat
    reader: Reader = field(default_factory=Reader)
    manifest: str | None = None
    cache_dir: str | None = None
    max_tokens: int = 512
    max_bad_fraction: float = 0.01

    def features(
        self, transforms: Mapping[str, Transform], fingerprint: Mapping[str, str]
    ) -> Features:
        """Reading through the cache, if there is one; `fingerprint` is the model's."""
        cache = None
        if self.cache_dir is not None:
            settings = {"encoders": dict(fingerprint), "reader": self.reader.settings()}
            cache = FeatureCache(Path(self.cache_dir), settings)
        return Features(self.reader, transforms, cache)

    def maker(self, tokenizer: Any, span_lengths: dict[str, SpanRule]) -> ExampleMaker:
        """Examples for an LLM's tokenizer and a model's span lengths."""
        return ExampleMaker(
            self.chat(tokenizer),
            self.prompt,
            span_lengths,
            fused="multi" in span_lengths,
            max_tokens=self.max_tokens,
        )
