"""What a place of the mixture will be, from its row alone: no file is opened, so every rank can."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from affect_mllm.data.example import Example, ExampleMaker, Item, Open, visible
from affect_mllm.data.lengths import Lengths
from affect_mllm.data.messages import media_of
from affect_mllm.data.mixture import Draw
from affect_mllm.data.packing import UNIT, Budget, Load
from affect_mllm.data.senses import VISUAL, Sense, sense_of
from affect_mllm.data.template import Conversation, Instruction
from affect_mllm.types import Patches, Sample, modality_of

T = TypeVar("T")
ASSUMED_PICTURES = 8  # of a face or a scene, or as much of sound, where nobody measured it


@dataclass(frozen=True)
class Room:
    """What answers that the model itself gives while it trains may take.

    `tokens` of an example, all of its answers together; to these questions (none: to all but
    conversations'). Each such prompt is also made without each of the `senses` that it has.
    """

    tokens: int
    questions: tuple[str, ...] = ()
    senses: tuple[Sense, ...] = ()


@dataclass(frozen=True)
class Outline:
    """A question about a row, what of the row it may see, and what it is expected to take.

    `question`, `answer` and `subtitle` are `ExampleMaker.make`'s.
    `expected` are the modalities that the row names, clip by clip (`image.2`) where it has several;
    `hidden` those that must not be seen, in any clip.
    `planned` is the example without media, if what was measured (else what is expected) is there;
    None where nothing is. `seed` is the draw's, `places` what decides the media's places.
    `open`: the model itself is to answer.
    """

    sample: Sample
    question: str | None
    answer: str | Sequence[str] | None
    subtitle: bool
    expected: tuple[str, ...]
    hidden: frozenset[str]
    only: tuple[str, ...]
    planned: Example | None
    load: Load
    seed: tuple[int, int]
    open: bool = False
    places: Mapping[str, Any] = field(default_factory=dict)

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

    `encoded`: no encoder runs in a step; else `positions` count what the modality's encoder
    computes of an item (`AffectMLLM.encoder_positions`). A row that `lengths` do not know is
    planned as if all that it names were there, of a usual size. `room` is there where the model
    itself gives answers.
    """

    maker: ExampleMaker
    instructions: dict[str, Instruction | Conversation]
    visual: str = "face"
    still: bool = False
    modality_dropout: float = 0.0
    encoded: bool = True
    budget: Budget = field(default_factory=Budget)
    lengths: Lengths = field(default_factory=Lengths)
    positions: Mapping[str, Callable[[Any], int]] = field(default_factory=dict)
    room: Room | None = None

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
            answer = None if self._is_open(draw) else answer
            subtitle = "text" in seen
        else:
            answer = instruction.answer_beside(sample)
        outline = Outline(
            sample,
            question,
            answer,
            subtitle,
            tuple(expected),
            frozenset({*modalities, "text"} - seen),
            instruction.only,
            None,
            Load(0),
            draw.seed,
            self._is_open(draw),
        )
        items: Mapping[str, Item | None] | None
        measured = self.lengths.of(sample)
        if measured is not None:
            items = self._seen(outline, measured)
        else:
            items = dict.fromkeys(media_of(sample, shown, question))
            if not (items or question is None or subtitle or not sample.has_media):
                items = None
        if items is None:
            return outline
        planned = self._made(outline, items)
        room = self.room.tokens if self.room is not None and outline.open else 0
        return replace(
            outline,
            planned=replace(planned, media={}),
            places=self._places(items),
            load=Load(len(planned) + room, self._units(items)),
        )

    def _seen(self, outline: Outline, media: Mapping[str, T]) -> dict[str, T] | None:
        """What of a row's media its example shows; None if all of it must be hidden."""
        shown = {name: media[name] for name in outline.shown(media)}
        sample = outline.sample
        if outline.question is None:
            return {name: shown[name] for name in media_of(sample, list(shown))}
        if not shown and not (outline.subtitle and sample.subtitle):
            return None
        return shown

    def _units(self, items: Mapping[str, Item | None]) -> float:
        """Of the encoders that run."""
        if self.encoded:
            return 0.0
        counts = {}
        for name, item in items.items():
            count = self.positions.get(modality_of(name))
            if item is None or count is None:
                counts[name] = UNIT * (1 if modality_of(name) == "image" else ASSUMED_PICTURES)
            else:
                counts[name] = count(item)
        return self.budget.units_of(counts)

    def example(self, outline: Outline, media: dict[str, Item]) -> Example | None:
        """The example of what was found in the row's files; None if all of it must be hidden."""
        shown = self._seen(outline, media)
        if shown is None:
            return None
        planned = outline.planned
        places = self._places(shown)
        if planned is None or None in places.values() or places != outline.places:
            example = self._made(outline, shown)
        else:
            example = replace(planned, media=shown)
        if not outline.open:
            return example
        asked = Open(outline.seed[1], outline.question or "")
        without = {} if example.cut else self._without(outline, shown)
        return replace(example, open=asked, without=without)

    def _without(self, outline: Outline, shown: Mapping[str, Item]) -> dict[str, Example]:
        """The prompt without each sense that it has, hidden as modality dropout hides it; a sense
        without which nothing would be left is not hidden."""
        found: dict[str, Example] = {}
        for sense in self.room.senses if self.room is not None else ():
            gone = {modality_of(name) for name in shown if sense_of(name) == sense}
            hidden = replace(outline, hidden=outline.hidden | gone)
            left = self._seen(hidden, shown)
            if gone and left is not None:
                found[sense] = self._made(hidden, left)
        return found

    def _is_open(self, draw: Draw) -> bool:
        room = self.room
        if room is None or isinstance(self.instructions[draw.instruction], Conversation):
            return False  # whose answers are its own
        return not room.questions or draw.instruction in room.questions

    def _made(self, outline: Outline, media: Mapping[str, Item | None]) -> Example:
        return self.maker.make(
            outline.sample,
            media,
            question=outline.question,
            answer=outline.answer,
            subtitle=outline.subtitle,
            encoded=self.encoded,
        )

    def _places(self, items: Mapping[str, Item | None]) -> dict[str, Any]:
        """What decides the prompt of each; None for what was planned with a guess."""
        places: dict[str, Any] = {}
        for name, item in items.items():
            rule = self.maker.span_lengths[modality_of(name)]
            if isinstance(rule, int):
                places[name] = rule
            else:  # a sound may stand among its video's steps, by their times
                timed = item.times_s if isinstance(item, Patches) else ()
                places[name] = None if item is None else (rule(item), timed)
        return places


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
