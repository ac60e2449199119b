"""What a place of the mixture will be, from its row alone: no file is opened, so every rank can."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from affect_mllm.data.example import Example, ExampleMaker, Item, visible
from affect_mllm.data.messages import media_of
from affect_mllm.data.mixture import Draw
from affect_mllm.data.packing import Budget, Load
from affect_mllm.data.template import Conversation, Instruction
from affect_mllm.types import Sample, modality_of

VISUAL = ("face", "frame", "image")


@dataclass(frozen=True)
class Outline:
    """A question about a row, what of the row it may see, and what it is expected to take.

    `question`, `answer` and `subtitle` are `ExampleMaker.make`'s.
    `expected` are the modalities that the row names, clip by clip (`image.2`) where it has several;
    `hidden` those that must not be seen, in any clip.
    `planned` is the example without media if exactly what is expected is there; None where nothing
    is. `seed` is the draw's.
    """

    sample: Sample
    question: str | None
    answer: str | None
    subtitle: bool
    expected: tuple[str, ...]
    hidden: frozenset[str]
    only: tuple[str, ...]
    planned: Example | None
    load: Load
    seed: tuple[int, int]

    def shown(self, there: Collection[str]) -> list[str]:
        """Those of the modalities found in the file that may be seen.

        Whole frames stand in for a face that was not found: they are hidden if the face is.
        """
        no_picture = any(name in self.hidden for name in VISUAL)
        return [
            name
            for name in there
            for modality in [modality_of(name)]
            if modality not in self.hidden
            and (not self.only or modality in self.only)
            and not (no_picture and modality in VISUAL and name not in self.expected)
        ]


@dataclass(frozen=True)
class Outliner:
    """Draws to outlines. `visual` and `still` are the reader's choices.

    `encoded`: no encoder runs in a step.
    """

    maker: ExampleMaker
    instructions: dict[str, Instruction | Conversation]
    visual: str = "face"
    still: bool = False
    modality_dropout: float = 0.0
    encoded: bool = True
    budget: Budget = field(default_factory=Budget)

    def outline(self, draw: Draw) -> Outline | None:
        """The outline of a draw; None where the row has nothing of what is asked about.

        Raises DataError for a row that lacks a label or cannot be shortened enough.
        """
        sample, instruction = draw.sample, self.instructions[draw.instruction]
        given = expected_of(sample, self.visual, still=self.still)
        expected = [n for n in given if modality_of(n) in self.maker.span_lengths]
        rng = np.random.default_rng([draw.seed[0], 3, draw.seed[1]])
        modalities = dict.fromkeys(map(modality_of, expected))
        available = [*modalities, *(["text"] if sample.subtitle else [])]
        seen = visible(available, instruction, self.modality_dropout, rng)
        if available and not seen and instruction.only:
            return None
        shown = [name for name in expected if modality_of(name) in seen]
        question = answer = None
        subtitle = True
        if not isinstance(instruction, Conversation):
            question, answer = instruction.ask(sample, rng)
            subtitle = "text" in seen
        names = media_of(sample, shown, question)
        outline = Outline(
            sample,
            question,
            answer,
            subtitle,
            tuple(expected),
            frozenset({*modalities, "text"} - seen),
            instruction.only,
            None,
            Load(self.maker.assumed_tokens, 0.0 if self.encoded else self.budget.units_of(names)),
            draw.seed,
        )
        if not (names or question is None or subtitle or not sample.has_media):
            return outline
        planned = self._made(outline, dict.fromkeys(names))
        load = replace(outline.load, tokens=len(planned))
        return replace(outline, planned=planned, load=load)

    def example(self, outline: Outline, media: dict[str, Item]) -> Example | None:
        """The example of what was found in the row's files; None if all of it must be hidden."""
        shown = {name: media[name] for name in outline.shown(media)}
        sample = outline.sample
        if outline.question is None:
            shown = {name: shown[name] for name in media_of(sample, list(shown))}
        elif not shown and not (outline.subtitle and sample.subtitle):
            return None
        planned = outline.planned
        if planned is None or not self._as_planned(planned, shown):
            return self._made(outline, shown)
        return replace(planned, media=shown)

    def _made(self, outline: Outline, media: Mapping[str, Item | None]) -> Example:
        return self.maker.make(
            outline.sample,
            media,
            question=outline.question,
            answer=outline.answer,
            subtitle=outline.subtitle,
            encoded=self.encoded,
        )

    def _as_planned(self, planned: Example, shown: Collection[str]) -> bool:
        names = {span.modality for span in planned.spans} - {"multi"}
        rules = (self.maker.span_lengths[modality_of(name)] for name in names)
        return names == set(shown) and all(isinstance(rule, int) for rule in rules)


def expected_of(sample: Sample, visual: str, *, still: bool = False) -> list[str]:
    """The modalities that a row's media should give, in the order of their names.

    Of each clip where there are several, as `image.2`.
    """
    if sample.clips:
        clips = enumerate(sample.clips, start=1)
        return [f"{n}.{i}" for i, clip in clips for n in expected_of(clip, visual, still=still)]
    named = set(sample.media)
    given = {kind.partition(".")[2] for kind in named if kind.startswith("features.")}
    found = given & {*VISUAL, "audio"}
    if named & {"video", "audio"}:
        found.add("audio")
    if still and named & {"video", "frames", "image"}:
        found.add("image")
    if still or not given & set(VISUAL):
        if visual == "face" and named & {"video", "image", "faces", "frames"}:
            found.add("face")
        elif named & {"video", "frames"}:
            found.add("frame")
        elif "image" in named:
            found.add("image")
    return sorted(found)
