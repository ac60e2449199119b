"""The nouns shared by every layer: errors, exit codes, manifest rows, batches. Nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from affect_mllm.moving import moved

if TYPE_CHECKING:
    import numpy as np
    import torch

    from affect_mllm.borders import Borders


def finite(value: Any) -> bool:
    """Whether `value` is a finite number as JSON has it; true and false are none."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) < inf  # a whole number may be too large for a float: no isfinite


class ExitCode(IntEnum):
    """What a command tells its caller."""

    DONE = 0
    FAILED = 1  # the run failed, or problems were found
    USAGE = 2  # wrong use: an unknown option, a config that does not check
    STOPPED = 75  # stopped on request and resumable (EX_TEMPFAIL)


class AffectError(Exception):
    """A mistake a user can mend: where, what was got, what was expected, what to do.

    Printed as one message without a traceback; `exit_code` is the command's exit code.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, where: str, got: str, *, expected: str = "", fix: str = "") -> None:
        self.where, self.got, self.expected, self.fix = where, got, expected, fix
        parts = [f"{where}: {got}"]
        if expected:
            parts.append(f"expected: {expected}")
        if fix:
            parts.append(f"to mend it: {fix}")
        super().__init__(printable("\n  ".join(parts)))

    def __reduce__(self) -> tuple[Any, ...]:
        """The same error in another process, where a loader's worker raised it."""
        return _error_again, (type(self), self.where, self.got, self.expected, self.fix)

    def without(self, words: str) -> Self:
        """The same error without `words`, such as a folder that is nobody's business."""
        texts = (self.where, self.got, self.expected, self.fix)
        where, got, expected, fix = (text.replace(words, "") for text in texts)
        return type(self)(where, got, expected=expected, fix=fix)


def _error_again(
    kind: type[AffectError], where: str, got: str, expected: str, fix: str
) -> AffectError:
    return kind(where, got, expected=expected, fix=fix)


def printable(text: str) -> str:
    """`text` as every terminal and file takes it: half a character becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_encodable(text: str) -> bool:
    """Whether UTF-8, and so a tokenizer, can write `text`; half of a surrogate pair it can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class ConfigError(AffectError):
    """The configuration or the command line is wrong."""

    exit_code = ExitCode.USAGE


class DataError(AffectError):
    """A manifest, a media file or a prediction file is wrong."""


class CheckpointError(AffectError):
    """A checkpoint or a weights folder is missing, incomplete or does not fit."""


MEDIA_FIELDS = ("video", "audio", "image", "frames", "faces", "features")
MODALITIES = ("frame", "face", "audio", "image", "multi")


def modality_of(name: str) -> str:
    """The modality of a row's item: `image` of `image.2`, which its second clip gives."""
    return name.partition(".")[0]


@dataclass(frozen=True)
class Sample:
    """One manifest row.

    `root` is the manifest's directory; the values of `media` are paths relative to it, or URLs
    (`s3://…`). Encoder states of one modality each are under `features.MODALITY`. `peak_s`: when
    the expression is strongest; `frames_fps`: pictures a second of the folder `frames`.
    `face_boxes` are `[x, y, width, height]` in pixels, one for each entry of `face_times_s`
    (seconds from the clip's start). `labels_only`: its media were not looked for and are not named;
    it can be scored, not shown to a model. A missing modality is absent, never zeros.

    A row with several media of a kind has them as `clips` and none itself. Each is a Sample with
    media, times and faces of its own, and the `name` that questions and messages call it by.
    """

    id: str
    root: Path
    media: dict[str, str] = field(default_factory=dict)
    start_s: float | None = None
    end_s: float | None = None
    peak_s: float | None = None
    frames_fps: float | None = None
    subtitle: str | None = None
    language: str | None = None
    speaker: str | None = None
    group: str | None = None
    split: str | None = None
    labels: dict[str, Any] = field(default_factory=dict)
    messages: tuple[dict[str, str], ...] = ()
    source: str | None = None
    licence: str | None = None
    face_boxes: tuple[tuple[float, float, float, float], ...] = ()
    face_times_s: tuple[float, ...] = ()
    labels_only: bool = False
    clips: tuple[Sample, ...] = ()
    name: str = ""

    @property
    def parts(self) -> tuple[Sample, ...]:
        """What is read from files: the row's clips, or else the row itself."""
        return self.clips or (self,)

    @property
    def has_media(self) -> bool:
        """Whether it names any file."""
        return any(part.media for part in self.parts)

    @property
    def is_words(self) -> bool:
        """Whether it is text alone, that of its own turns: then a question is all there is."""
        return bool(self.messages) and not self.has_media and not self.subtitle

    def path(self, kind: str) -> Path:
        """Absolute path of the media file of `kind`; KeyError if the row has none.

        ValueError for a URL, which `media.remote.MediaFiles` opens.
        """
        if is_url(self.media[kind]):
            raise ValueError(f"{self.media[kind]} is not on this machine")
        return self.root / self.media[kind]


def is_url(path: str) -> bool:
    """Whether a manifest's medium is named by a URL rather than by a relative path."""
    return "://" in path


@dataclass(frozen=True)
class Patches:
    """Pictures of one size for a vision tower, which cuts them into `t·h·w` patches.

    `values` is uint8 `[t·h·w, P]`: the pictures `[T, H, W, 3]` as they lie in memory, in as many
    rows of `P` bytes as there are patches; `grid` is `(t, h, w)`. `frames_per_step` pictures
    make one step of the time axis; `step_s` is how long a step lasts in seconds (0: no video) and
    `times_s` when each one is, halfway between its first and last picture (empty: not known).
    """

    values: np.ndarray
    grid: tuple[int, int, int]
    frames_per_step: int = 1
    step_s: float = 0.0
    times_s: tuple[float, ...] = ()

    def timed(self, times_s: np.ndarray) -> Patches:
        """The same patches of pictures taken at `times_s` `[T]`; one picture lasts no time."""
        taken = [float(time_s) for time_s in times_s]
        if not taken:
            return self
        each, last = self.frames_per_step, len(taken) - 1
        between_s = (taken[-1] - taken[0]) / max(1, last)
        # The last picture is repeated where a step lacks some.
        steps = (
            (taken[min(first, last)] + taken[min(first + each - 1, last)]) / 2
            for first in range(0, self.grid[0] * each, each)
        )
        return replace(self, step_s=between_s * each, times_s=tuple(steps))


class Placeholder(NamedTuple):
    """What stands in a prompt for a media item: ids `before`, `length` × `filler`, ids `after`.

    The span is the fillers alone. `filler=None` is the tokenizer's padding. `words` are written in
    front of it all, and `then` says how the item goes on, in further spans: those of another
    `modality` are of the item of that modality that belongs to it, as a video's sound does.
    """

    length: int
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    filler: int | None = None
    words: str = ""
    then: tuple[Placeholder, ...] = ()
    modality: str = ""

    @property
    def tokens(self) -> int:
        """How many tokens the item has in all its spans."""
        return self.length + sum(part.tokens for part in self.then)


# How many positions a modality takes: always the same, or a (picklable) rule from the item.
SpanRule = int | Callable[[Any], Placeholder]


@dataclass(frozen=True)
class Span:
    """Where one modality's tokens sit: `length` positions from `start` in row `row` of a batch.

    `example` numbers the batch's examples, so that a span finds its media item; `item` numbers
    those of the modality that the example has, from left to right. An item whose tokens stand in
    several spans fills them from left to right.
    """

    modality: str
    start: int
    length: int
    row: int = 0
    example: int = 0
    item: int = 0


@dataclass
class MediaBatch:
    """The items of one modality in a batch, padded to one length.

    `values` is `[N, T, …]` (what the encoder reads, pictures as uint8; or its states `[N, S, D]`
    if `encoded`), `mask` `[N, T]` is true where a value is real, `examples[n]` says whose item
    `n` is: several of one example stand in the order of its spans. Of `Patches`, `grids[n]` is
    `(t, h, w)` and `steps_s[n]` the seconds of a time step.
    """

    values: torch.Tensor
    mask: torch.Tensor
    examples: tuple[int, ...]
    encoded: bool
    grids: tuple[tuple[int, int, int], ...] = ()
    steps_s: tuple[float, ...] = ()

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> MediaBatch:
        """The same items with their tensors changed."""
        return replace(self, values=change(self.values), mask=change(self.mask))


class Blind(NamedTuple):
    """Answers as the model sees them without one sense: log p of each one's tokens, and which of
    them speak of that sense.
    """

    logps: tuple[tuple[float, ...], ...]
    speaking: tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class Drawn:
    """A model's own answers to one prompt: what each was worth, and how likely it was when drawn.

    `rewards[k]` is None where answer `k` could not be rewarded: then nothing is learnt from it.
    `logps[k]` are the log-probabilities of its tokens at `temperature`. An answer has at most
    `limit` tokens. `without` has the same answers by the sense that was hidden.
    """

    rewards: tuple[float | None, ...]
    logps: tuple[tuple[float, ...], ...]
    limit: int
    temperature: float = 1.0
    without: Mapping[str, Blind] = field(default_factory=dict)


@dataclass
class Batch:
    """Packed or padded examples: `[R, L]` ids, labels (−100 ignored) and positions.

    `segments` `[R, L]` numbers the example that a position belongs to (−1: padding);
    attention never crosses a segment. Labels are aligned with `input_ids`, not shifted.
    `truths[i]` are the manifest labels of example `i`, for losses with a target of their own.
    `idle` has an item of every modality that another rank has here and this one has not.
    `host` is the same batch on the CPU, where it was moved from: what Python has to know of it is
    read there, since reading it from a GPU waits for all that is queued.
    `borders` say where examples stand, host numbers included; made of `segments` unless given.
    `branches` `[R, L]` numbers the answers of examples that have several behind one prompt, which
    they all see, and none another (−1: no such answer); None where no example has. `drawn[i]` is
    known of answers that the model itself gave. `reference` `[M]` are log-probabilities of their
    tokens under other weights (`train.loss.answers.Answers` says in which order).
    """

    input_ids: torch.Tensor
    labels: torch.Tensor
    position_ids: torch.Tensor
    segments: torch.Tensor
    spans: tuple[Span, ...]
    media: dict[str, MediaBatch]
    sample_ids: tuple[str, ...]
    truths: tuple[dict[str, Any], ...] = ()
    idle: dict[str, MediaBatch] = field(default_factory=dict)
    branches: torch.Tensor | None = None
    drawn: tuple[Drawn | None, ...] = ()
    reference: torch.Tensor | None = None
    host: Batch | None = field(default=None, repr=False)
    borders: Borders = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """On the host, where batches are made: a device would have to be waited for."""
        from affect_mllm.borders import Borders

        self.borders = self.borders or Borders.of(self.segments, self.branches)

    @property
    def on_host(self) -> Batch:
        """The batch as it was before it moved; itself where it did not."""
        return self if self.host is None else self.host

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        """The same batch with its tensors changed, those of `host` as they are."""
        return replace(
            self,
            input_ids=change(self.input_ids),
            labels=change(self.labels),
            position_ids=change(self.position_ids),
            segments=change(self.segments),
            media={name: items.each(change) for name, items in self.media.items()},
            idle={name: items.each(change) for name, items in self.idle.items()},
            branches=None if self.branches is None else change(self.branches),
            reference=None if self.reference is None else change(self.reference),
            borders=self.borders.each(change),
        )

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`; the host does not wait for a GPU to have it."""
        return replace(self.each(partial(moved, device=device)), host=self.on_host)
