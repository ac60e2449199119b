"""The class that lmms-eval makes: `--model affect_mllm --model_args checkpoint=DIR`.

It reads, asks and ends answers as `eval.py` does, by the checkpoint's own prompt and media
settings; the question's words are lmms-eval's. Its chat interface (lmms-eval 0.7).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affect_mllm.tools.lmms_eval.request import Asked, asked
from affect_mllm.types import DataError

if TYPE_CHECKING:
    _Base = object
else:
    try:
        from lmms_eval.api.model import lmms as _Base
    except ModuleNotFoundError:  # only lmms-eval makes one
        _Base = object


class ChatModel(_Base):
    """A checkpoint behind lmms-eval's chat interface; `checkpoint` is its folder."""

    is_simple = False
    task_dict: dict[str, Any]  # task → split → rows; lmms-eval fills it

    def __init__(
        self, checkpoint: str, batch_size: int | str = 8, device: str | None = None, **kwargs: Any
    ) -> None:
        """ValueError for arguments that mean nothing here."""
        super().__init__()
        if kwargs:
            raise ValueError(f"unknown model arguments {sorted(kwargs)}: checkpoint, batch_size")
        from affect_mllm.data.settings import DataSettings
        from affect_mllm.eval.ranks import ranks
        from affect_mllm.models import checkpoint as store

        folder = Path(checkpoint)
        self.name = store.checkpoint_hash(folder)
        data = store.load_part(folder, "data", DataSettings, cache_dir=None)
        self.model = store.load_model(folder)
        self.model.to(device or ranks().device)
        self.features = data.features(self.model.transforms(), {}, limits=self.model.limits())
        self.maker = data.maker(self.model.llm.tokenizer, self.model.span_lengths())
        self.batch_size = int(batch_size)
        self._rank, self._world_size = ranks().index, ranks().world

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """An answer to each request, in their order. DataError for one that cannot be asked."""
        with tempfile.TemporaryDirectory() as folder:
            given = [
                self._asked(number, each, Path(folder)) for number, each in enumerate(requests)
            ]
            answers: dict[str, str] = {}
            for length in sorted({each.max_new_tokens for each in given}):
                group = [each for each in given if each.max_new_tokens == length]
                answers |= dict(self._answers(group, length))
        return [answers[each.sample.id] for each in given]

    def _asked(self, number: int, request: Any, folder: Path) -> Asked:
        _, doc_to_messages, settings, doc_id, task, split = request.args
        messages = doc_to_messages(self.task_dict[task][split][doc_id])
        return asked(f"{number}", messages, settings, folder)

    def _answers(self, given: Sequence[Asked], length: int) -> Iterator[tuple[str, str]]:
        from affect_mllm.eval.generate.asking import Asker
        from affect_mllm.eval.generate.question import Question

        by_id = {each.sample.id: each for each in given}
        asker = Asker(self.model, self.maker, self.features, self.name, self.batch_size, length)
        question = Question("lmms-eval", lambda sample: by_id[sample.id].question)
        for row in asker.answer([each.sample for each in given], question):
            if why := row.get("error") or row.get("unseen"):
                raise DataError("lmms-eval", why)
            yield row["id"], by_id[row["id"]].cut(row["response"])

    def loglikelihood(self, requests: Sequence[Any]) -> Any:
        """Not here: `eval.py answer_by=likelihood` compares the labels of a task."""
        raise NotImplementedError("affect_mllm generates answers; choose a task that does, too")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> Any:
        """Not here: one question, one answer."""
        raise NotImplementedError("affect_mllm answers one question; choose a task of one round")
