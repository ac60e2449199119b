"""What an evaluation asks, whatever it is: a checkpoint of ours, or another model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from affect_mllm.data.reader import Reader
from affect_mllm.eval.generate.endpoint import EndpointModel
from affect_mllm.eval.generate.other import OtherAsker, OtherModel, check_taken
from affect_mllm.eval.generate.question import Answers
from affect_mllm.eval.generate.usage import Price
from affect_mllm.eval.generate.views import View
from affect_mllm.eval.ranks import Ranks
from affect_mllm.eval.task import Task
from affect_mllm.models.decoding import token_bound
from affect_mllm.types import ConfigError, Sample

# New tokens at most, by what is answered: a label, a list, a description.
LENGTHS = {"open_vocabulary": 48, "multi_label": 48, "distribution": 64, "short_answer": 32,
           "description": 256, "claims": 256}  # fmt: skip


@dataclass(frozen=True)
class Asking:
    """How one benchmark is asked: `data` is the hash of its manifest, `donors` as in `views`, with
    `labels` these are compared instead of generating, with `by_head` by the head on media tokens
    that a checkpoint was trained with. Below `folder` replies are kept.
    """

    task: Task
    data: str
    ranks: Ranks = field(default_factory=Ranks)
    batch_size: int = 32
    workers: int = 0
    max_new_tokens: int | None = None
    donors: Mapping[str, Mapping[str, Sample]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    by_head: bool = False
    folder: Path | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)

    def length(self, least: int) -> int:
        """New tokens at most: the run's, the task's or its kind's; of labels `least` or more."""
        longest = max((token_bound(word) for word in self.task.every_word), default=0)
        own = self.max_new_tokens or self.task.max_new_tokens
        return own or LENGTHS.get(self.task.kind, max(least, longest))


class Asked(Protocol):
    """One model with its way of reading rows."""

    @property
    def name(self) -> str:
        """What stands as `checkpoint` beside its scores: no other model's."""
        ...

    @property
    def max_bad_fraction(self) -> float:
        """The share of rows that may lack an answer."""
        ...

    @property
    def manifest(self) -> str | None:
        """The rows that it is asked about where none are named."""
        ...

    def info(self) -> dict[str, Any]:
        """What results say of it."""
        ...

    def price(self, prices: Mapping[str, Price]) -> Price | None:
        """Its price among these."""
        ...

    def check(self, view: View) -> None:
        """ConfigError for a view of which it takes nothing; no weights are loaded for that."""
        ...

    def asker(self, asking: Asking, samples: Sequence[Sample]) -> Answers:
        """The model, loaded, ready for questions about `samples`."""
        ...


@dataclass(frozen=True)
class Other:
    """A model that is no checkpoint of ours, and how it is shown rows."""

    model: OtherModel
    reader: Reader
    system: str = ""
    manifest: str | None = None

    LEAST = 64  # it was not trained to say a label alone

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    @property
    def max_bad_fraction(self) -> float:
        """That of any data; of a server's replies half may fail, which are asked for again."""
        return 0.5 if isinstance(self.model, EndpointModel) else 0.01

    def info(self) -> dict[str, Any]:
        """Which model it is; it has no stages that we know of."""
        return {"model": self.model.identity()}

    def asker(self, asking: Asking, samples: Sequence[Sample]) -> OtherAsker:
        """It is loaded with the first question."""
        model, chunk = self.model, OtherAsker.chunk
        if isinstance(model, EndpointModel):
            chunk = max(chunk, 4 * model.workers)  # no worker waits long for the last of a chunk
            if asking.folder is not None:
                model = model.keeping(asking.folder, asking.ranks.index)
        return OtherAsker(
            model,
            self.reader,
            self.system,
            asking.length(self.LEAST),
            data=asking.data,
            chunk=chunk,
            price=self.price(asking.prices),
        )

    def check(self, view: View) -> None:
        """As its configuration has it."""
        check_taken(self.model, view)

    def price(self, prices: Mapping[str, Price]) -> Price | None:
        """Its price. ConfigError where a server's model has none among some."""
        name = self.model.identity()["model"]
        if prices and name not in prices and isinstance(self.model, EndpointModel):
            raise ConfigError("prices", f"none of {name}", expected=f"some of {sorted(prices)}")
        return prices.get(name)
