"""Examples of questions that stand among other turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from affect_mllm.data.example import Example, ExampleMaker, Item
from affect_mllm.data.template import Segments, Turn
from affect_mllm.types import Sample


@dataclass(frozen=True)
class Around:
    """What stands before and after a question; no `system` message: the checkpoint's own."""

    system: str | None = None
    before: tuple[Turn, ...] = ()
    after: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class TalkMaker(ExampleMaker):
    """Puts an example's question among the turns `around` it."""

    around: Around = field(default_factory=Around)

    def _turns(self, content: Segments) -> list[Turn]:
        told = self.around.system
        system = self.prompt.system if told is None else told
        first = [Turn("system", [system])] if system else []
        return [*first, *self.around.before, Turn("user", content), *self.around.after]


@dataclass(frozen=True)
class TalkMakers(ExampleMaker):
    """Makes each row's example by the maker of its own talk, by id."""

    each: Mapping[str, TalkMaker] = field(default_factory=dict)

    def make(self, sample: Sample, media: Mapping[str, Item | None], **how: Any) -> Example:
        """The example of a row; `how` as `ExampleMaker.make` has it."""
        return self.each[sample.id].make(sample, media, **how)


def makers(maker: ExampleMaker, arounds: Mapping[str, Around]) -> TalkMakers:
    """For rows by id, each of which has its own turns around its question."""
    own = vars(maker)
    each = {id: TalkMaker(**own, around=around) for id, around in arounds.items()}
    return TalkMakers(**own, each=each)
