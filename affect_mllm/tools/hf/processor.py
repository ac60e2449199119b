"""The processor of an exported model: a question and files to what the model reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from affect_mllm import config as configuration
from affect_mllm.data.collate import collate
from affect_mllm.data.example import ExampleMaker
from affect_mllm.data.settings import DataSettings
from affect_mllm.tools.hf.config import AffectConfig
from affect_mllm.tools.hf.inputs import to_inputs
from affect_mllm.types import ConfigError, Sample, SpanRule


class AffectProcessor(ProcessorMixin):
    """Reads media, fills the prompt and tokenizes, exactly as in training and evaluation.

    `recipe` holds, as YAML, the nodes of the data settings, of each modality's transform and of
    the rules that say how many tokens a medium takes; they pass the same allow-list as any
    configuration.
    """

    attributes = ["tokenizer"]  # noqa: RUF012  (transformers' own form)
    tokenizer_class = "AutoTokenizer"

    def __init__(
        self,
        tokenizer: Any = None,
        recipe: str = "{}",
        chat_template: str | None = None,
    ) -> None:
        super().__init__(tokenizer, chat_template=chat_template)
        self.recipe = recipe
        self._plugins: tuple[str, ...] = ()
        self._made: tuple[DataSettings, dict[str, Any], dict[str, Any]] | None = None

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Any,
        *args: Any,
        plugins: Sequence[str] = (),
        **kwargs: Any,
    ) -> Any:
        """As transformers' own; `plugins` are packages that the recipe may name, the caller's to
        say: a folder's files cannot admit them."""
        made = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        made._plugins = tuple(plugins)
        return made

    def __call__(  # type: ignore[override]
        self,
        text: str | Sequence[str],
        media: Mapping[str, str | Path] | Sequence[Mapping[str, str | Path]] | None = None,
        subtitle: str | Sequence[str | None] | None = None,
    ) -> BatchFeature:
        """Inputs for one question or several; `media` maps `video`, `audio`, `image` to a file.

        Raises DataError for files that cannot be read, ConfigError where the lists' lengths differ.
        """
        questions = [text] if isinstance(text, str) else list(text)
        clips = [media or {}] * len(questions) if not isinstance(media, Sequence) else list(media)
        words: list[str | None]
        if subtitle is None or isinstance(subtitle, str):
            words = [subtitle] * len(questions)
        else:
            words = list(subtitle)
        if not len(questions) == len(clips) == len(words):
            raise ConfigError(
                "processor",
                f"{len(questions)} questions, {len(clips)} media, {len(words)} subtitles",
                expected="as many of each",
            )
        data, transforms, _ = self._parts()
        features = data.features(transforms, {})
        examples = []
        for number, (question, files, said) in enumerate(zip(questions, clips, words, strict=True)):
            paths = {kind: str(Path(path).absolute()) for kind, path in files.items()}
            sample = Sample(str(number), Path("/"), media=paths, subtitle=said)
            arrays = features.clip(sample).arrays if paths else {}
            examples.append(self._maker.make(sample, arrays, question=question, encoded=False))
        pad_id = self.tokenizer.pad_token_id or 0
        return BatchFeature(to_inputs(collate(examples, pad_id=pad_id)))

    @cached_property
    def _maker(self) -> ExampleMaker:
        """Made once: its chat format reads the whole tokenizer."""
        data, _, spans = self._parts()
        return data.maker(self.tokenizer, spans)

    def _parts(self) -> tuple[DataSettings, dict[str, Any], dict[str, Any]]:
        if self._made is None:
            from omegaconf import DictConfig, OmegaConf

            node = OmegaConf.create(self.recipe)
            assert isinstance(node, DictConfig)
            kinds = (
                ("data", DataSettings),
                ("transforms", dict[str, Callable[..., Any]]),
                ("spans", dict[str, SpanRule]),
            )
            data, transforms, spans = (
                configuration.build(
                    node[key], kind=kind, plugins=self._plugins, where=f"processor, {key}"
                )
                for key, kind in kinds
            )
            self._made = data, transforms, spans
        return self._made


def register(module: ModuleType) -> None:
    """Make `AutoProcessor` know exported models."""
    module.AutoProcessor.register(AffectConfig, AffectProcessor, exist_ok=True)
