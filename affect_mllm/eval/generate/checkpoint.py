"""A checkpoint of ours as a model that is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from affect_mllm.data.features import ensure
from affect_mllm.data.lengths import Lengths, measure
from affect_mllm.data.reader import Reader
from affect_mllm.data.settings import DataSettings
from affect_mllm.eval.generate.asked import Asked, Asking, Other
from affect_mllm.eval.generate.asking import Asker
from affect_mllm.eval.generate.other import OtherModel
from affect_mllm.eval.generate.usage import Price
from affect_mllm.eval.generate.views import View
from affect_mllm.log import working
from affect_mllm.models import checkpoint
from affect_mllm.types import ConfigError, Sample

UNTRAINED = "untrained"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's folder (`conf/ask/checkpoint.yaml`), read as it was trained: questions,
    prompt, frames, faces.

    `cache_dir` takes the place of its feature cache, `plugins` are the packages that are admitted;
    not `trained`, it is the model before any training.
    """

    checkpoint: str | None = None
    cache_dir: str | None = None
    plugins: tuple[str, ...] = ()
    trained: bool = True

    LEAST = 12  # tokens: it was trained to say a label alone

    def within(self, folder: str | None, cache_dir: str | None, plugins: Sequence[str]) -> Self:
        """With what the run says of all its checkpoints. ConfigError without a folder."""
        folder = self.checkpoint or folder
        if folder is None:
            raise ConfigError(
                "checkpoint",
                "none",
                expected="a checkpoint's folder, or another model",
                fix="give checkpoint=DIR, or model=hf model.model=NAME",
            )
        own = {"cache_dir": self.cache_dir or cache_dir, "plugins": tuple(plugins)}
        return replace(self, checkpoint=folder, **own)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return Path(str(self.checkpoint))

    @property
    def name(self) -> str:
        """Its hash."""
        found = checkpoint.checkpoint_hash(self.folder)
        return found if self.trained else f"{found}-{UNTRAINED}"

    @property
    def manifest(self) -> str | None:
        """The one that it was trained on."""
        return checkpoint.load_config(self.folder).data.get("manifest")

    @cached_property
    def data(self) -> DataSettings:
        """Its way of reading."""
        own = {} if self.cache_dir is None else {"cache_dir": self.cache_dir}
        return checkpoint.load_part(self.folder, "data", DataSettings, plugins=self.plugins, **own)

    @property
    def max_bad_fraction(self) -> float:
        """As in its training."""
        return self.data.max_bad_fraction

    def info(self) -> dict[str, Any]:
        """Where it lies, and how it came about."""
        meta = checkpoint.read_meta(self.folder)
        told = {key: meta[key] for key in ("seed", "lineage", "packages", "git")}
        return {"checkpoint": str(self.folder), **told}

    def check(self, view: View) -> None:
        """It takes all."""

    def price(self, prices: Mapping[str, Price]) -> None:
        """None: it runs here."""

    def asker(self, asking: Asking, samples: Sequence[Sample]) -> Asker:
        """The loaded model; states that its cache lacks are made first."""
        data, ranks = self.data, asking.ranks
        with working(f"loading {self.folder}"):
            model = checkpoint.load_model(self.folder, plugins=self.plugins, trained=self.trained)
        model.to(ranks.device)
        features = data.features(model.transforms(), model.fingerprint, limits=model.limits())
        cached = data.cache_dir is not None
        model.clip_encoder().hold(bf16=model.fast_encoders if cached else model.llm.is_bf16)
        ensure(
            features,
            ranks.share(samples),
            model.encode_clip,
            max_bad_fraction=data.max_bad_fraction,
            gather=ranks.gather,
        )
        spans, lengths = model.span_lengths(), Lengths()
        if not all(isinstance(rule, int) for rule in spans.values()):
            share = ranks.share(samples)
            lengths = measure(features, share, gather=ranks.gather, index=data.index())
        head, labels = None, asking.labels
        if asking.by_head:
            width, truth = model.llm.hidden_size, asking.task.truth
            head, labels = checkpoint.load_label_head(self.folder, truth, width)
            head = head.to(ranks.device)
            if set(labels) != set(asking.labels):
                raise ConfigError(
                    "answer_by",
                    f"head, which tells {list(labels)} apart",
                    expected=f"the labels of {asking.task.name}: {list(asking.labels)}",
                )
        return Asker(
            model,
            data.maker(model.llm.tokenizer, spans),
            features,
            self.name,
            batch_size=asking.batch_size,
            max_new_tokens=asking.length(self.LEAST),
            data=asking.data,
            donors=asking.donors,
            labels=labels,
            head=head,
            truth=asking.task.truth,
            workers=asking.workers,
            lengths=lengths,
        )


def pair(
    model: Checkpoint | OtherModel,
    second: Checkpoint | OtherModel | None,
    *,
    folder: str | None,
    cache_dir: str | None,
    plugins: Sequence[str],
    reader: Reader | None,
    system: str | None,
) -> tuple[Asked, Asked | None]:
    """What is asked, and perhaps a second one beside it.

    Another model than a checkpoint is shown rows by `reader` and told `system`, or as the
    checkpoint beside it, else whole frames and nothing. ConfigError for what does not go together.
    """
    given = [each for each in (model, second) if each is not None]
    made = [
        each.within(folder, cache_dir, plugins) if isinstance(each, Checkpoint) else each
        for each in given
    ]
    ours = [each for each in made if isinstance(each, Checkpoint)]
    if folder is not None and not ours:
        raise ConfigError(
            "checkpoint",
            f"{folder}, beside another model",
            expected="one model, and perhaps a baseline",
            fix="leave it out, or take the other one as baseline=",
        )
    told = {"reader": reader, "system": system}
    unused = [key for key, value in told.items() if value is not None]
    if unused and len(ours) == len(given):
        raise ConfigError(
            ", ".join(unused),
            "given, and a checkpoint reads as it was trained",
            expected="a model that is none (model=hf …)",
        )
    own = ours[0].data if ours and len(ours) < len(given) else None
    reader = reader or (own.reader if own else Reader(visual="frame"))
    system = (own.prompt.system if own else "") if system is None else system
    asked: list[Asked] = [
        each if isinstance(each, Checkpoint) else Other(each, reader, system) for each in made
    ]
    return asked[0], asked[1] if asked[1:] else None
