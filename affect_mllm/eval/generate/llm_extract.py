"""Labels read from free answers by a language model: an option where a word list is too rigid.

The model sees the answer and, in a closed task, the task's labels; never the truth. Its reply is
checked by rule: a label outside the list counts as none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from affect_mllm.eval.chat import Chat, ReplyError, each
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.replies import request_hash

SYSTEM = "You read emotion words out of texts. You answer with a JSON list of strings only."
OPEN = """Which emotional states does the text below say that the main person has?
List every state it clearly names, as single words or short phrases in English, in its own words
where possible. A state that it denies is not one. Nothing clear: an empty list.

Text:
{response}"""
CLOSED = """Which of these labels does the text below say about the main person: {labels}?
List those labels only, spelled as here. A label that the text denies is not one; a synonym stands
for its label. None of them, or no decision: an empty list.

Text:
{response}"""


@dataclass(frozen=True)
class LLMExtractor:
    """`labels` of a closed task, or none for an open vocabulary."""

    chat: Chat
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What stands for the policy in results: the prompt's hash and the model's name."""
        prompt = request_hash([SYSTEM, CLOSED if self.labels else OPEN, self.labels])[:8]
        return f"llm_{prompt}_{self.chat.identity()['model']}"

    def rows(self, predictions: Sequence[Prediction]) -> Iterator[dict[str, Any]]:
        """One row of a predictions file each, with `labels`, `extraction` and `extract_status`.

        `ok` (a list came, empty or not), `unparsed` (the reply is no list), `no_reply` (none
        came). The last two have no label, and so count as answers that were not read.
        """
        found = each(
            self._labels, predictions, workers=self.chat.workers, title="extracting labels"
        )
        for prediction, (labels, status) in zip(predictions, found, strict=True):
            yield {
                "id": prediction.id,
                "response": prediction.response,
                "labels": labels,
                "scores": prediction.scores,
                "confidence": prediction.confidence,
                "prompt_hash": prediction.prompt_hash,
                "checkpoint": prediction.checkpoint,
                "modalities": list(prediction.modalities),
                "gate": prediction.gate,
                "extraction": self.name,
                "extract_status": status,
            }

    def _labels(self, prediction: Prediction) -> tuple[list[str], str]:
        if not prediction.response.strip():
            return [], "ok"
        template = CLOSED if self.labels else OPEN
        text = template.format(response=prediction.response, labels=", ".join(self.labels))
        try:
            reply = self.chat.ask(
                [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
            )
        except ReplyError:
            return [], "no_reply"
        labels = _list_of_strings(reply)
        if labels is None:
            return [], "unparsed"
        by_key = {label.casefold(): label for label in self.labels}
        if self.labels:
            labels = [by_key[s.casefold()] for s in labels if s.casefold() in by_key]
        return list(dict.fromkeys(labels)), "ok"


def _list_of_strings(reply: str) -> list[str] | None:
    """The last JSON list of strings in a reply, or None."""
    start, stop = reply.rfind("["), reply.rfind("]")
    try:
        value = json.loads(reply[start : stop + 1]) if 0 <= start < stop else None
    except ValueError:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return [item.strip() for item in value if item.strip()]
