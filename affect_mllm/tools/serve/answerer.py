"""A loaded checkpoint as requests ask it: each is read by itself, then several are answered."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affect_mllm.eval.generate.examples import Examples
from affect_mllm.eval.generate.pieces import Heard
from affect_mllm.eval.generate.question import WHOLE, Question
from affect_mllm.tools.pipeline import Pipeline
from affect_mllm.tools.seen import Seen, see
from affect_mllm.tools.serve.body import Body, read_body
from affect_mllm.tools.serve.bounds import Bounds
from affect_mllm.tools.serve.makers import Around, makers
from affect_mllm.tools.serve.refusal import Refusal
from affect_mllm.tools.serve.settings import Settings, settings_of
from affect_mllm.tools.serve.talk import talk_of
from affect_mllm.types import AffectError, DataError, modality_of

_SEEN = {"face", "frame", "image"}


@dataclass(frozen=True, eq=False)
class Asked:
    """A request that was read: nothing of it is a file any more."""

    id: str
    seen: Seen
    question: str
    around: Around
    settings: Settings

    @property
    def warnings(self) -> list[str]:
        """What was missing, in words."""
        return [*self.seen.clip.warnings, *self.seen.warnings]


@dataclass(frozen=True)
class Answerer:
    """`name` is what requests call the model."""

    pipeline: Pipeline
    name: str
    bounds: Bounds

    def read(self, id: str, text: bytes) -> Asked:
        """The request of a body, from whose media files are made that are gone again here.

        Raises Refusal for another model, ConfigError and DataError for what cannot be asked.
        """
        body = read_body(text)
        if body.model != self.name:
            raise unknown_model(body.model, self.name)
        settings = settings_of(body, self.bounds.max_tokens)
        with tempfile.TemporaryDirectory(prefix="affect-serve-") as folder:
            try:
                asked = self._looked(id, body, settings, Path(folder))
            except AffectError as error:
                raise error.without(f"{folder}/") from error
        self._try(asked)
        return asked

    def answer(self, asked: Sequence[Asked], heard: Heard) -> Iterator[dict[str, Any]]:
        """A prediction row for each request; they have their decoding in common."""
        by_id = {each.id: each for each in asked}
        decoding = asked[0].settings.decoding
        asker = self.pipeline.asker(
            [each.seen for each in asked],
            maker=makers(self.pipeline.maker(), {each.id: each.around for each in asked}),
            max_new_tokens=decoding.max_tokens,
            repeat=decoding.repeat({each.id: each.settings.seed for each in asked}),
            heard=heard,
        )
        question = Question("serve", lambda sample: by_id[sample.id].question)
        return asker.answer([each.seen.sample for each in asked], question)

    def _looked(self, id: str, body: Body, settings: Settings, folder: Path) -> Asked:
        talk = talk_of(
            body.messages, id=id, subtitle=body.subtitle, folder=folder, bounds=self.bounds
        )
        features = self.pipeline.features()
        seen = see(features, talk.sample)
        _check_taken(seen, features.transforms)
        return Asked(id, seen, talk.question, talk.around, settings)

    def _try(self, asked: Asked) -> None:
        """Write its prompt, so that what cannot be asked is said here and not among others."""
        seen = asked.seen
        asker = self.pipeline.asker(
            [seen], maker=makers(self.pipeline.maker(), {asked.id: asked.around})
        )
        question = Question("serve", lambda _: asked.question)
        made = Examples(asker.maker, asker.features, question, WHOLE).made([seen.sample])
        for _, error in made.refused:
            raise error


def unknown_model(given: str, known: str) -> Refusal:
    """What is said of another model's name."""
    told = f"model: {given!r}\n  expected: {known!r}"
    return Refusal(404, told, code="model_not_found", param="model")


def _check_taken(seen: Seen, takes: Collection[str]) -> None:
    """DataError for a medium of which a model that `takes` these modalities takes nothing, unless
    the reader has said why.
    """
    for number, part in enumerate(seen.sample.parts, start=1):
        end = f".{number}" if seen.sample.clips else ""
        read = {modality_of(name) for name in seen.clip.arrays if name.endswith(end)}
        for kind, file in part.media.items():
            able = {"audio"} if kind == "audio" else _SEEN
            if not (read & able or (seen.clip.warnings and {*takes} & able)):
                raise DataError(
                    file,
                    f"this checkpoint takes no {kind}",
                    expected=f"parts for {', '.join(sorted(takes))} and text",
                )
