"""A model that vLLM runs in this process (extra `vllm`), asked by the messages of a server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import PositiveInt

from affect_mllm.eval.chat import Reply
from affect_mllm.eval.generate.endpoint import messages_of
from affect_mllm.eval.generate.other import Drawn, short_name
from affect_mllm.eval.generate.parts import Turn
from affect_mllm.eval.ranks import ranks
from affect_mllm.log import LOGGER
from affect_mllm.types import CheckpointError, ConfigError


@dataclass(frozen=True)
class VLLMModel:
    """A model that vLLM loads here: a local folder or a Hub id.

    It gets the messages that a server gets. `engine` are further arguments of `vllm.LLM`, such as
    `tensor_parallel_size` or `max_model_len`; `pictures` and `sounds` how many a question may have.
    A question that vLLM refuses costs that row its answer, and nothing else. vLLM starts processes
    of its own: this one has to be alone.
    `model` is what vLLM loads, `dtype` what it computes in.
    """

    model: str
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    hears: bool = False
    pictures: PositiveInt = 64
    sounds: PositiveInt = 8
    engine: dict[str, Any] = field(default_factory=dict)
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    sees, films = True, False

    @property
    def name(self) -> str:
        """Its last path component, and a hash of the rest of its identity."""
        return short_name(self.model, self.identity())

    def identity(self) -> dict[str, Any]:
        """The folder or Hub id, the data type, and what else the engine is told."""
        told = {"kind": "vllm", "model": self.model, "dtype": self.dtype}
        return told | ({"hears": True} if self.hears else {}) | self._more

    @property
    def _more(self) -> dict[str, Any]:
        return {"engine": self.engine} if self.engine else {}

    def generate(
        self, turns: Sequence[Turn], *, system: str, max_new_tokens: int, drawn: Drawn | None = None
    ) -> list[Reply]:
        """Answers at temperature 0, or drawn with a seed for each row."""
        llm = self._llm()
        asked = [messages_of(turn, system) for turn in turns]
        how = [self._how(max_new_tokens, drawn, number) for number in range(len(turns))]
        try:
            return _replies(llm, asked, how)
        except _refusals():  # of one of them: too long, say
            return [_alone(llm, each, way) for each, way in zip(asked, how, strict=True)]

    def _how(self, max_new_tokens: int, drawn: Drawn | None, number: int) -> Any:
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

        if drawn is None:
            return SamplingParams(temperature=0.0, max_tokens=max_new_tokens)
        sampling = drawn.repeat.sampling
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=drawn.repeat.seed_of(drawn.rows[number]),
            max_tokens=max_new_tokens,
        )

    def _llm(self) -> Any:
        if not self._loaded:
            from affect_mllm.config import weights_path

            if ranks().world > 1:
                raise ConfigError(
                    "model=vllm",
                    f"{ranks().world} processes",
                    expected="one: vLLM shares a model out by itself",
                    fix="start eval.py without torchrun; model.engine.tensor_parallel_size=N",
                )
            limits = {"image": self.pictures} | ({"audio": self.sounds} if self.hears else {})
            given = {"dtype": self.dtype, "limit_mm_per_prompt": limits, **self.engine}
            self._loaded["llm"] = _built(weights_path(self.model), given)
        return self._loaded["llm"]


def _built(path: str, given: dict[str, Any]) -> Any:
    try:
        from vllm import LLM  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            "model=vllm", str(error), expected="vLLM", fix="pip install 'affect-mllm[vllm]'"
        ) from error
    try:
        return LLM(path, **given)
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        raise CheckpointError(
            path,
            f"vLLM does not load it: {error}",
            fix="ask it with model=hf, which loads what transformers does",
        ) from error


def _refusals() -> tuple[type[Exception], ...]:
    """What vLLM raises for a question, with none of those before it left in its queue (0.32)."""
    try:
        from vllm.exceptions import VLLMClientError  # pyright: ignore[reportMissingImports]
    except ImportError:  # of an older one, in which they are ValueErrors
        return (ValueError,)
    return (ValueError, VLLMClientError)


def _alone(llm: Any, messages: list[dict[str, Any]], how: Any) -> Reply:
    try:
        return _replies(llm, [messages], [how])[0]
    except _refusals() as error:
        LOGGER.warning("no reply: %s", error)
        return Reply("", None, error=f"vLLM refuses it: {error}")


def _replies(llm: Any, asked: list[list[dict[str, Any]]], how: list[Any]) -> list[Reply]:
    began, found = time.monotonic(), []
    outputs = llm.chat(asked, how, use_tqdm=False)
    batch = {"seconds": time.monotonic() - began, "batch_rows": len(asked)}
    for output in outputs:
        said = output.outputs[0]
        counts = len(output.prompt_token_ids or ()), len(said.token_ids)
        found.append(Reply(said.text.strip(), said.finish_reason, *counts, **batch))
    return found
