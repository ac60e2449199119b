"""Judged metrics: a rubric put to a judge model about each answer, every verdict kept in a file.

A verdict row of `NAME.verdicts.jsonl`:

    {"id", "status": "ok" | "unparsed" | "no_reply" | "no_answer", "scores": {NAME: number} | null,
     "reply": what the judge said, "answer": hash of the answer that it is about,
     "judge": who it was, "rubric": its name and version, "prompt_hash": hash of the rubric}

A reply that cannot be read is asked for once more with a reminder, then counted as `unparsed`;
no score is guessed for it. An answer that is not there gets the lowest scores without asking.
`affect-mllm score --verdicts` makes means of the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Any, Literal

from affect_mllm.eval.chat import Chat, ReplyError, each
from affect_mllm.eval.files import write_text_atomic
from affect_mllm.eval.metrics.judged import chain
from affect_mllm.eval.metrics.publishers import step_scores
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.read.verdicts import answer_hash
from affect_mllm.eval.replies import request_hash
from affect_mllm.types import ConfigError, DataError, Sample, finite

Status = Literal["ok", "unparsed", "no_reply", "no_answer"]
STATUSES: tuple[Status, ...] = ("ok", "unparsed", "no_reply", "no_answer")


@dataclass(frozen=True)
class Verdict:
    """What a judge said about one answer; `scores` is None unless `status` is ok or no_answer."""

    id: str
    status: Status
    scores: dict[str, float] | None
    reply: str
    answer: str  # hash of the answer that was judged


@dataclass(frozen=True)
class Rubric:
    """How an answer is judged (`conf/judge/NAME.yaml`).

    `prompt` is a format string over `{response}` and the row's labels (`{description}` …), `hints`
    are further sentences over one label each, told where a row has it; the
    judge answers with a JSON object that has a number for each of `scores`, between its bounds.
    With `per_step` it has one key, `steps`, a list of such numbers: the last one is
    `recognition`, the mean of the others `reasoning` (0 where there is only one), and `cot` the
    mean of both (MME-Emotion, FunAudioLLM/MME-Emotion: Rec-S, Rea-S, CoT-S).
    `source` says where the protocol is from and what differs; `prompt_source` whose words it is.
    `name` and `version` stand beside every verdict, `system` is the judge's system message.
    """

    name: str
    version: str
    prompt: str
    source: str
    prompt_source: str = "ours"
    system: str = "You are a careful judge of descriptions of emotion. You answer in JSON only."
    scores: dict[str, tuple[float, float]] = field(default_factory=dict)
    per_step: bool = False
    hints: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.scores) == self.per_step:
            raise ConfigError(
                f"judge {self.name}", "scores and per_step", expected="exactly one of them"
            )

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Each score that a verdict has, with its lowest and highest value."""
        if self.per_step:
            return dict.fromkeys(("recognition", "reasoning", "cot"), (0.0, 1.0))
        return {name: (low, high) for name, (low, high) in self.scores.items()}

    @property
    def prompt_hash(self) -> str:
        """Hash of everything that the judge is told besides the row."""
        keys = sorted(self.scores.items())
        hints = [sorted(self.hints.items())] if self.hints else []
        return request_hash([self.system, self.prompt, keys, self.per_step, *hints])[:16]

    def needs(self) -> list[str]:
        """The labels that the prompt quotes."""
        names = {name for _, name, _, _ in Formatter().parse(self.prompt) if name}
        return sorted(names - {"response"})

    def messages(self, sample: Sample, response: str) -> list[dict[str, str]]:
        """The question about one answer. Raises DataError if the row lacks a label."""
        missing = [name for name in self.needs() if name not in sample.labels]
        if missing:
            raise DataError(
                f"row {sample.id}", f"no label {', '.join(missing)}", expected=f"for {self.name}"
            )
        labels = {name: _plain(sample.labels[name]) for name in self.needs()}
        told = [text.format(**{name: _plain(sample.labels[name])})
                for name, text in self.hints.items() if sample.labels.get(name)]  # fmt: skip
        text = "\n\n".join([self.prompt.format(response=response, **labels), *told])
        return [{"role": "system", "content": self.system}, {"role": "user", "content": text}]

    def read(self, reply: str) -> dict[str, float] | None:
        """The scores of a reply, or None where it has none of the asked form.

        A judge that was asked in MME-Emotion's own words answers in its `<score>` form.
        """
        for value in reversed(_objects(reply)):
            found = self._steps(value) if self.per_step else self._named(value)
            if found is not None:
                return found
        return chain(step_scores(reply) or []) if self.per_step else None

    def _named(self, value: Mapping[str, Any]) -> dict[str, float] | None:
        found = {}
        for name, (low, high) in self.scores.items():
            number = _number(value.get(name))
            if number is None or not low <= number <= high:
                return None
            found[name] = number
        return found

    def _steps(self, value: Mapping[str, Any]) -> dict[str, float] | None:
        steps = value.get("steps")
        if not isinstance(steps, list) or not steps:
            return None
        read = [number for each in steps if (number := _number(each)) is not None]
        if len(read) < len(steps) or not all(0 <= number <= 1 for number in read):
            return None
        return chain(read)


def judge(
    rubric: Rubric, chat: Chat, samples: Sequence[Sample], predictions: Sequence[Prediction]
) -> list[Verdict]:
    """A verdict about every sample, in the samples' order.

    A sample without a prediction is judged as an empty answer; one that is not among `samples` gets
    the same lowest scores from `eval/score/scoring.py`. Raises DataError where a row lacks
    what the rubric quotes, before anything is asked.
    """
    said = {row.id: row.response for row in predictions}
    asked = [(s, said.get(s.id, ""), rubric.messages(s, said.get(s.id, ""))) for s in samples]

    def one(item: tuple[Sample, str, list[dict[str, str]]]) -> Verdict:
        sample, response, messages = item
        if not response.strip():
            lowest = {name: low for name, (low, _) in rubric.bounds.items()}
            return Verdict(sample.id, "no_answer", lowest, "", answer_hash(response))
        status, scores, reply = _verdict(rubric, chat, messages)
        return Verdict(sample.id, status, scores, reply, answer_hash(response))

    return each(one, asked, workers=chat.workers, title=f"judging, {rubric.name}")


def _verdict(
    rubric: Rubric, chat: Chat, messages: list[dict[str, str]]
) -> tuple[Status, dict[str, float] | None, str]:
    """Status, scores and the reply that they are read from."""
    wanted = '{"steps": [..]}' if rubric.per_step else ", ".join(f'"{n}"' for n in rubric.scores)
    reminder = f"Answer with one JSON object and nothing else: {wanted}."
    try:
        reply = chat.ask(messages)
        scores = rubric.read(reply)
        if scores is None:
            again = [
                *messages,
                {"role": "assistant", "content": reply},
                {"role": "user", "content": reminder},
            ]
            reply = chat.ask(again)
            scores = rubric.read(reply)
    except ReplyError as error:
        return "no_reply", None, str(error)
    return "unparsed" if scores is None else "ok", scores, reply


def write_verdicts(
    path: Path, rubric: Rubric, identity: Mapping[str, Any], verdicts: Sequence[Verdict]
) -> None:
    """One JSON row a verdict, with what was judged, by whom and by which prompt."""
    head = {"judge": dict(identity), "rubric": f"{rubric.name} {rubric.version}"}
    rows = (
        {
            "id": each.id,
            "status": each.status,
            "scores": each.scores,
            "reply": each.reply,
            "answer": each.answer,
            "prompt_hash": rubric.prompt_hash,
            **head,
        }
        for each in verdicts
    )
    write_text_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _objects(text: str) -> list[dict[str, Any]]:
    """Every JSON object that stands in a text, outermost ones, in order."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (start := text.find("{", at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, start)
        except ValueError:
            at = start + 1
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _number(value: Any) -> float | None:
    """A finite JSON number, or None."""
    return float(value) if finite(value) else None


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return re.sub(r"\s+", " ", str(value)).strip()
