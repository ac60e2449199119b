"""The data side of a run: questions, prompt, reader and cache, the same for training and eval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveFloat

from affect_mllm.config import cache_dir
from affect_mllm.data.cache import FeatureCache, contents
from affect_mllm.data.chat import Chat, ChatFormat
from affect_mllm.data.example import ExampleMaker
from affect_mllm.data.features import Features, Limits, no_limits
from affect_mllm.data.reader import Reader, Transform
from affect_mllm.data.template import Conversation, Instruction, Prompt
from affect_mllm.media.augment import RandomTransform
from affect_mllm.media.content import ContentIndex
from affect_mllm.types import ConfigError, SpanRule

# A hash by name and version, made where it is not known.
Remember = Callable[[str, str, Callable[[], str]], str]
Fingerprint = Mapping[str, str] | Callable[[Remember], Mapping[str, str]]


@dataclass(frozen=True)
class DataSettings:
    """What `conf/data` holds. `cache_dir=null` runs the encoders on every visit instead.

    `cache_dtype` is what states are kept in, `cache_max_gb` bounds the cache (null: no bound).
    `ask_labels` names labels of the manifest that a run makes questions of (`[all]`; data/
    label_questions.py), beside those that are written in `instructions`; `language` is theirs
    (`template.Instruction`).
    `chat` makes the chat format for a tokenizer: the LLM's own template, or another by `_partial_`.
    `prompt` is the wording of a user's turn, `reader` what is taken from files, `manifest` the rows
    that sources draw from. An example has at most `max_tokens`; a share of bad samples above
    `max_bad_fraction` ends a run.
    """

    instructions: dict[str, Instruction | Conversation]
    prompt: Prompt = field(default_factory=Prompt)
    chat: Callable[..., Chat] = ChatFormat
    reader: Reader = field(default_factory=Reader)
    manifest: str | None = None
    cache_dir: str | None = None
    cache_dtype: Literal["float16", "float32"] = "float16"
    cache_max_gb: PositiveFloat | None = None
    max_tokens: int = 512
    max_bad_fraction: float = 0.01
    ask_labels: tuple[str, ...] = ()
    language: str | None = None

    def features(
        self,
        transforms: Mapping[str, Transform],
        fingerprint: Fingerprint,
        *,
        limits: Limits = no_limits,
    ) -> Features:
        """Reading through the cache, if there is one; `fingerprint` and `limits` are the model's.

        Weights are hashed only for a cache, which remembers the hashes of files that stay the same.

        Raises ConfigError for a cache of what a transform makes at random.
        """
        if self.cache_dir is None:
            return Features(self.reader, transforms, limits=limits)
        random = [name for name, each in transforms.items() if isinstance(each, RandomTransform)]
        if random:
            raise ConfigError(
                "data.cache_dir",
                f"a feature cache, and the transform of {', '.join(sorted(random))} is random",
                expected="either cached states or another view at each visit",
                fix="set data.cache_dir=null, or take the augmentation out of the encoder",
            )
        root = Path(self.cache_dir)
        given = fingerprint
        found = given(contents(root).remembered) if callable(given) else given
        cache = FeatureCache(
            root,
            {"encoders": dict(found), "reader": self.reader.settings()},
            dtype=self.cache_dtype,
            max_gb=self.cache_max_gb,
            files=self.reader.files,
        )
        return Features(self.reader, transforms, cache, limits)

    def index(self) -> ContentIndex:
        """What is remembered of media files: in the feature cache, else in the user's."""
        return contents(Path(self.cache_dir) if self.cache_dir else cache_dir())

    def maker(self, tokenizer: Any, span_lengths: dict[str, SpanRule]) -> ExampleMaker:
        """Examples for an LLM's tokenizer and a model's span lengths."""
        return ExampleMaker(
            self.chat(tokenizer),
            self.prompt,
            span_lengths,
            fused="multi" in span_lengths,
            max_tokens=self.max_tokens,
        )
