"""A checkpoint in Python: `affect_mllm.load(…)` once, then any questions about any clips."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affect_mllm.data.settings import DataSettings
from affect_mllm.data.template import Instruction
from affect_mllm.models import checkpoint as store
from affect_mllm.models.decoding import token_bound
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.tools.answer import Answer, Stream
from affect_mllm.tools.seen import Held, Seen, sample_of, see
from affect_mllm.types import ConfigError, DataError, is_encodable

if TYPE_CHECKING:
    import torch

    from affect_mllm.data.example import ExampleMaker
    from affect_mllm.data.features import Features
    from affect_mllm.eval.generate.asking import Asker
    from affect_mllm.eval.generate.pieces import Heard

StrPath = str | os.PathLike[str]
ASKED = {"label": 12, "open_vocabulary": 24, "describe": 96}  # instruction → new tokens at most
LONGEST = max(ASKED.values())


@dataclass(frozen=True)
class Pipeline:
    """A loaded checkpoint: `model` computes, `data` says how clips are read and asked about.

    `name` is the checkpoint's hash, `folder` where it lies.
    """

    model: AffectMLLM
    data: DataSettings
    name: str
    folder: Path

    def ask(
        self,
        clips: Sequence[StrPath | None],
        question: str,
        *,
        subtitle: str | Sequence[str | None] | None = None,
        max_new_tokens: int = LONGEST,
        batch_size: int = 8,
    ) -> list[Answer]:
        """An answer for each clip (video, photo, sound; None: its subtitle alone), in their order.

        `subtitle` is what is said in each clip, one text for all of them, or `auto` (Whisper).
        Raises ConfigError for nothing to see and hear, DataError naming the clips that cannot be
        read.
        """
        if isinstance(clips, str | os.PathLike):
            raise ConfigError("clips", repr(clips), expected="a list of them", fix=f"[{clips!r}]")
        if subtitle is None or isinstance(subtitle, str):
            texts = [subtitle] * len(clips)
        else:
            texts = [*subtitle]
        if len(texts) != len(clips):
            raise ConfigError("subtitle", f"{len(texts)} of them", expected=f"{len(clips)}, or one")
        found: list[Answer] = []
        for start in range(0, len(clips), batch_size):
            end = start + batch_size
            seen = self.look(clips[start:end], texts[start:end], first=start)
            found += self.answers(seen, question, max_new_tokens=max_new_tokens)
        return found

    def stream(
        self,
        clip: StrPath | None,
        question: str,
        *,
        subtitle: str | None = None,
        max_new_tokens: int = LONGEST,
    ) -> Stream:
        """The answer about one clip while it is written: pieces, which are `ask`'s text together.

        The clip is read now, and raises as `ask` does. Whoever stops reading stops the answer.
        """
        (seen,) = self.look([clip], [subtitle])
        return self.streamed(seen, question, max_new_tokens=max_new_tokens)

    def likelihoods(
        self,
        clip: StrPath | None,
        labels: Sequence[str],
        *,
        question: str | None = None,
        subtitle: str | None = None,
    ) -> dict[str, float]:
        """How likely each label is as the answer, as shares of 1: the softmax of their
        log-likelihoods (`models/likelihood`).

        Without a `question` the checkpoint's own for labels is asked, with these in it. Raises as
        `ask`, and ConfigError where the checkpoint has no such question or there are no labels.
        """
        return self.compared(self.look([clip], [subtitle]), labels, question=question)[0]

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, token: str | None = None
    ) -> str:
        """Upload the checkpoint's folder with a model card; the URL of the commit.

        The files are as they are, the paths of data in `config.yaml` included; pretrained parts are
        named, not copied. Raises CheckpointError where one is a folder of this machine.
        """
        from affect_mllm.tools.hub import push

        return push(self.folder, repo_id, private=private, token=token)

    def usual(self) -> dict[str, tuple[str, int]]:
        """The questions that are asked when none is: name → words, new tokens at most.

        All of the checkpoint's own that need no row and are about everything that there is, those
        of the demo first.
        """
        written = {n: i for n, i in self.data.instructions.items() if isinstance(i, Instruction)}
        found: dict[str, tuple[str, int]] = {}
        for name in dict.fromkeys([*(n for n in ASKED if n in written), *written]):
            if written[name].only:
                continue
            try:
                found[name] = written[name].plain_question(), _tokens(name, written[name])
            except ConfigError:  # it names a speaker, or what was said before
                continue
        return found

    def closed(self) -> Instruction | None:
        """The checkpoint's own question that lists labels, the first one; None without one."""
        written = (i for i in self.data.instructions.values() if isinstance(i, Instruction))
        return next((each for each in written if each.allowed), None)

    def look(
        self,
        clips: Sequence[StrPath | None],
        subtitles: Sequence[str | None],
        *,
        first: int = 0,
    ) -> list[Seen]:
        """Read the clips, with what is said in each; their ids begin with their number.

        Raises ConfigError for a clip that is none and has no subtitle, DataError for those that
        cannot be read, each with its reason.
        """
        features = self.features()
        seen, bad = [], []
        for number, (given, subtitle) in enumerate(zip(clips, subtitles, strict=True), first):
            clip = None if given is None else Path(given)
            if clip is None and not subtitle:
                raise ConfigError("clip", "neither a clip nor a subtitle", expected="at least one")
            if not is_encodable(subtitle or ""):
                raise ConfigError("subtitle", repr(subtitle), expected="text in UTF-8")
            try:
                found = see(features, replace(sample_of(clip), subtitle=subtitle))
            except DataError as error:
                bad.append(error)
                continue
            numbered = replace(found.sample, id=f"{number} {found.sample.id}")
            seen.append(replace(found, sample=numbered))
        if len(bad) == 1:
            raise bad[0]
        if bad:
            raise DataError("clips", "\n  ".join([f"{len(bad)} of them:", *map(str, bad)]))
        return seen

    def answers(
        self,
        seen: Sequence[Seen],
        question: str,
        *,
        max_new_tokens: int,
        heard: Heard | None = None,
    ) -> list[Answer]:
        """An answer about each clip that was read, in their order; `heard` is told them before."""
        rows = self._rows(seen, question, max_new_tokens=max_new_tokens, heard=heard)
        return [
            Answer(
                row["response"],
                tuple(row["modalities"]),
                row["gate"],
                each.sample.subtitle,
                (*each.clip.warnings, *each.warnings),
            )
            for each, row in zip(seen, rows, strict=True)
        ]

    def streamed(self, seen: Seen, question: str, *, max_new_tokens: int) -> Stream:
        """`stream` about a clip that was read."""

        def answered(heard: Heard) -> Answer:
            return self.answers([seen], question, max_new_tokens=max_new_tokens, heard=heard)[0]

        return Stream(answered)

    def compared(
        self, seen: Sequence[Seen], labels: Sequence[str], *, question: str | None = None
    ) -> list[dict[str, float]]:
        """`likelihoods` of each clip that was read, in their order."""
        import torch

        if not labels or len({*labels}) < len(labels):
            raise ConfigError("labels", f"{[*labels]}", expected="some, none of them twice")
        asked = question or self._of_labels(labels)
        rows = self._rows(seen, asked, labels=tuple(labels))
        scores = [[row["scores"][label] for label in labels] for row in rows]
        shares = torch.tensor(scores, dtype=torch.float64).softmax(1).tolist()
        return [dict(zip(labels, each, strict=True)) for each in shares]

    def _rows(self, seen: Sequence[Seen], question: str, **how: Any) -> list[dict[str, Any]]:
        """The prediction rows of an evaluation's asker, one for each clip in their order."""
        from affect_mllm.eval.generate.question import Question

        if not is_encodable(question):
            raise ConfigError("question", repr(question), expected="text in UTF-8")
        asker = self.asker(seen, **how)
        rows = asker.answer([each.sample for each in seen], Question(question))
        by_id = {row["id"]: row for row in rows}
        found = [by_id[each.sample.id] for each in seen]
        if why := [row.get("error") or row.get("unseen") for row in found if not row["modalities"]]:
            raise DataError("clips", "; ".join(map(str, why)))
        return found

    def features(self) -> Features:
        """How clips are read for the model."""
        return self.data.features(self.model.transforms(), {}, limits=self.model.limits())

    def maker(self) -> ExampleMaker:
        """How a clip and a question are put together for the model; made once.

        Where the chat template names the day and no `data.chat.date` does, it stays that of the
        first question.
        """
        return self._maker

    def asker(
        self, seen: Sequence[Seen], *, maker: ExampleMaker | None = None, **how: Any
    ) -> Asker:
        """What asks about these clips in one batch; `how` are more of its fields."""
        from affect_mllm.eval.generate.asking import Asker

        read, clips = self.features(), {each.sample.id: each.clip for each in seen}
        held = Held(read.reader, read.transforms, clips=clips)
        more = {"batch_size": len(seen), **how}
        return Asker(self.model, maker or self.maker(), held, self.name, **more)

    @cached_property
    def _maker(self) -> ExampleMaker:
        return self.data.maker(self.model.llm.tokenizer, self.model.span_lengths())

    def _of_labels(self, labels: Sequence[str]) -> str:
        own = self.closed()
        if own is None:
            raise ConfigError(
                "question", "none, and the checkpoint has none that lists labels", fix="give one"
            )
        return replace(own, allowed=tuple(labels)).plain_question()


def load(
    path_or_hub_id: StrPath,
    *,
    device: str | torch.device | None = None,
    dtype: str | None = None,
    plugins: Sequence[str] = (),
) -> Pipeline:
    """What `affect_mllm.load` gives; see there."""
    from affect_mllm.eval.ranks import ranks
    from affect_mllm.tools.hub import checkpoint_folder

    folder = checkpoint_folder(path_or_hub_id)
    name = store.checkpoint_hash(folder)  # before anything slow: is it there and whole?
    data = store.load_part(folder, "data", DataSettings, plugins=plugins, cache_dir=None)
    model = store.load_model(folder, plugins=plugins, dtype=dtype)
    model.to(ranks().device if device is None else device)
    model.clip_encoder().hold(bf16=model.llm.is_bf16)
    return Pipeline(model, data, name, folder)


def _tokens(name: str, asked: Instruction) -> int:
    """New tokens at most: enough for each label of its own, in whatever script."""
    return max([ASKED.get(name, LONGEST), *map(token_bound, asked.allowed)])
