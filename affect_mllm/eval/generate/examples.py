"""Rows to batches of a checkpoint's examples, made ahead by workers while the model answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example, ExampleMaker
from affect_mllm.data.features import Features
from affect_mllm.data.lengths import Lengths
from affect_mllm.data.messages import media_of
from affect_mllm.data.senses import VISUAL, sense_of
from affect_mllm.eval.generate.question import Question, Unseen
from affect_mllm.eval.generate.views import View, has
from affect_mllm.types import Batch, DataError, Sample, modality_of


@dataclass(frozen=True)
class Made:
    """A batch (None where no row is left of it), what its `rows` of predictions begin with, and
    the rows that cannot be asked about, with the reason.
    """

    batch: Batch | None
    rows: tuple[dict[str, Any], ...]
    refused: tuple[tuple[Sample, DataError], ...]


class _Unmeasured(DataError):
    """Of a row whose lengths nobody knows."""


@dataclass(frozen=True)
class Examples:
    """Makes examples of a question about what a view shows; holds no model, so workers may.

    `donors[modality]` gives the rows that a view's `swap` takes that modality from.
    """

    maker: ExampleMaker
    features: Features
    question: Question
    view: View
    donors: Mapping[str, Mapping[str, Sample]] = field(default_factory=dict)
    lengths: Lengths = field(default_factory=Lengths)

    def made(self, samples: Sequence[Sample]) -> Made:
        """The batch of these rows. Rows of which nothing is seen or read are among `refused`."""
        examples: list[Example] = []
        rows: list[dict[str, Any]] = []
        refused: list[tuple[Sample, DataError]] = []
        for sample in samples:
            try:
                example, note = self._example(sample, self._read)
            except DataError as error:
                refused.append((sample, error))
                continue
            words = ["text"] if self._worded(sample) else []
            seen = dict.fromkeys(map(modality_of, example.media))
            examples.append(example)
            rows.append({"id": sample.id, "modalities": [*seen, *words], **note})
        pad_id = self.maker.chat.tokenizer.pad_token_id or 0
        batch = collate(examples, pad_id=pad_id) if examples else None
        return Made(batch, tuple(rows), tuple(refused))

    def planned(self, sample: Sample) -> int:
        """How many tokens the row's example takes, about so where nobody measured it.

        No file is opened.
        """
        try:
            return len(self._example(sample, self._measured)[0])
        except _Unmeasured:
            return self._guessed(sample)
        except DataError:
            return 0  # said when its turn comes

    def _guessed(self, sample: Sample) -> int:
        donor = self._donor(sample)
        if donor is not None and self.view.swap == "text":
            sample = replace(sample, subtitle=donor.subtitle)
        named = [name for name in self.maker.span_lengths if name in VISUAL][:1]
        named += [name for name in self.maker.span_lengths if name == "audio"]
        shown = {
            name: None
            for name in named
            if sense_of(name) in self.view.modalities and has(sample, sense_of(name))
        }
        if sample.clips:
            places = range(1, len(sample.clips) + 1)
            shown = {f"{name}.{place}": None for place in places for name in shown}
        try:
            asked, subtitle = self.question.about(sample), "text" in self.view.modalities
            return len(self.maker.make(sample, shown, question=asked, subtitle=subtitle))
        except DataError:
            return 0

    def _worded(self, sample: Sample) -> bool:
        """Whether words of the row are seen."""
        return bool(sample.subtitle or sample.is_words) and "text" in self.view.modalities

    def _donor(self, sample: Sample) -> Sample | None:
        return self.donors.get(self.view.swap or "", {}).get(sample.id)

    def _read(self, sample: Sample) -> Mapping[str, Any]:
        return self.features.clip(sample).arrays

    def _measured(self, sample: Sample) -> Mapping[str, Any]:
        found = self.lengths.of(sample) if sample.has_media else {}
        if found is None:
            raise _Unmeasured(f"row {sample.id}", "no lengths")
        return found

    def _example(
        self, sample: Sample, arrays_of: Callable[[Sample], Mapping[str, Any]]
    ) -> tuple[Example, dict[str, Any]]:
        arrays = arrays_of(sample)
        note: dict[str, Any] = {}
        donor = self._donor(sample)
        if donor is not None and self.view.swap is not None:
            note = {"donor": donor.id}
            theirs = {} if self.view.swap == "text" else arrays_of(donor)
            arrays, sample = self._swapped(sample, arrays, donor, theirs)
        order = self.maker.prompt.order  # a cache gives the arrays in any order
        modalities = [*order, *map(modality_of, arrays)]
        names = sorted(arrays, key=lambda name: modalities.index(modality_of(name)))
        seen = [name for name in names if sense_of(name) in self.view.modalities]
        asked = self.question.about(sample)
        media = {name: arrays[name] for name in media_of(sample, seen, asked)}
        if not media and not self._worded(sample):
            raise Unseen(
                f"row {sample.id}",
                "no picture, no sound and no text",
                expected=f"at least one of {', '.join(self.view.modalities)}",
            )
        example = self.maker.make(
            sample,
            media,
            question=asked,
            subtitle="text" in self.view.modalities,
            encoded=self.features.encoded,
        )
        return example, note

    def _swapped(
        self,
        sample: Sample,
        arrays: Mapping[str, Any],
        donor: Sample,
        theirs: Mapping[str, Any],
    ) -> tuple[dict[str, Any], Sample]:
        """The row with one modality of the donor's, who has the arrays `theirs`."""
        modality = self.view.swap
        if modality == "text":
            return dict(arrays), replace(sample, subtitle=donor.subtitle)
        kept = {name: array for name, array in arrays.items() if sense_of(name) != modality}
        taken = {name: array for name, array in theirs.items() if sense_of(name) == modality}
        return {**kept, **taken}, sample
