"""vLLM in this process, by a stand-in: what is used of vLLM is recorded, and both have it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from affect_mllm.eval.generate.endpoint import messages_of
from affect_mllm.eval.generate.other import Drawn
from affect_mllm.eval.generate.parts import Sound, Turn
from affect_mllm.eval.generate.vllm_model import VLLMModel
from affect_mllm.models.decoding import Repeat, TokenSampling
from affect_mllm.types import CheckpointError, ConfigError

PICTURE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
SOUND = Sound(np.zeros(160, dtype=np.float32))
WITHOUT = inspect.Parameter.empty  # a default
# Of vLLM 0.32.0, read off the package itself: its parameters that are used, and their defaults.
RECORDED: dict[str, dict[str, Any]] = {
    "LLM.__init__": {"model": WITHOUT, "dtype": "auto", "tensor_parallel_size": 1},
    "LLM.chat": {"messages": WITHOUT, "sampling_params": None, "use_tqdm": True},
    "SamplingParams": {"temperature": 1.0, "top_p": 1.0, "seed": None, "max_tokens": 16},
    "RequestOutput": {"prompt_token_ids": WITHOUT, "outputs": WITHOUT},
    "CompletionOutput": {"text": WITHOUT, "token_ids": WITHOUT, "finish_reason": None},
}
PACKAGES = ["stand-in", *(["installed"] if importlib.util.find_spec("vllm") else [])]


@dataclass
class SamplingParams:
    """What is used of it."""

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = 16


@dataclass
class CompletionOutput:
    """One answer."""

    text: str
    token_ids: list[int]
    finish_reason: str | None = None


@dataclass
class RequestOutput:
    """What came of one question."""

    prompt_token_ids: list[int] | None
    outputs: list[CompletionOutput]


@dataclass
class EngineArgs:
    """What `LLM` has no parameter for."""

    limit_mm_per_prompt: dict[str, int] | None = None


class VLLMClientError(Exception):
    """What it raises for a request that is wrong: no ValueError."""


class LLM:
    """Answers with a question's last word; a batch that has a long one is refused as a whole."""

    def __init__(
        self, model: str, *, dtype: str = "auto", tensor_parallel_size: int = 1, **kwargs: Any
    ) -> None:
        self.model, self.dtype, self.tensor_parallel_size = model, dtype, tensor_parallel_size
        self.engine = EngineArgs(**kwargs)
        self.asked: list[Any] = []
        made.append(self)
        if model.endswith("no_model"):
            raise ValueError("no config.json")

    def chat(
        self,
        messages: list[Any],
        sampling_params: list[SamplingParams] | None = None,
        use_tqdm: bool = True,
    ) -> list[RequestOutput]:
        assert sampling_params is not None
        assert len(messages) == len(sampling_params)
        assert not use_tqdm
        self.asked.append((messages, sampling_params))
        texts = [conversation[-1]["content"][-1]["text"] for conversation in messages]
        if any(text.startswith("long") for text in texts):
            raise VLLMClientError("longer than the maximum model length")
        said = [CompletionOutput(f" {text.split()[-1]} ", [4, 5], "length") for text in texts]
        return [RequestOutput([1, 2, 3], [each]) for each in said]


made: list[LLM] = []


@pytest.fixture(autouse=True)
def vllm(monkeypatch):
    """The stand-in as the installed package."""
    rooms = {
        "vllm": [LLM, SamplingParams],
        "vllm.exceptions": [VLLMClientError],
        "vllm.outputs": [RequestOutput, CompletionOutput],
        "vllm.engine.arg_utils": [EngineArgs],
    }
    for name, classes in rooms.items():
        module = ModuleType(name)
        vars(module).update({each.__name__: each for each in classes})
        monkeypatch.setitem(sys.modules, name, module)
    made.clear()


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_used_of_vllm_is_there(package, monkeypatch) -> None:
    if package == "installed":
        for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
            monkeypatch.delitem(sys.modules, name)
    top, outputs = (importlib.import_module(name) for name in ("vllm", "vllm.outputs"))
    calls: dict[str, Callable[..., Any]] = {
        "LLM.__init__": top.LLM.__init__,
        "LLM.chat": top.LLM.chat,
        "SamplingParams": top.SamplingParams,
        "RequestOutput": outputs.RequestOutput,
        "CompletionOutput": outputs.CompletionOutput,
    }
    for name, recorded in RECORDED.items():
        given = inspect.signature(calls[name]).parameters
        assert {key: given[key].default for key in recorded if key in given} == recorded, name
    more = importlib.import_module("vllm.engine.arg_utils").EngineArgs
    assert "limit_mm_per_prompt" in inspect.signature(more).parameters
    inspect.signature(top.LLM.__init__).bind(None, "model", dtype="auto", limit_mm_per_prompt={})
    inspect.signature(top.LLM.chat).bind(None, [], [], use_tqdm=False)
    refused = importlib.import_module("vllm.exceptions").VLLMClientError
    assert not issubclass(refused, ValueError), "so both are caught"


def asked(model: VLLMModel, turns, **given):
    return model.generate(turns, system="Look.", max_new_tokens=7, **given)


def test_it_gets_what_a_server_gets_and_says_what_it_took() -> None:
    model = VLLMModel("org/model", hears=True, engine={"tensor_parallel_size": 2})
    turns = [Turn((PICTURE, SOUND, "Which one")), Turn(("And now",))]
    replies = asked(model, turns)
    said = [(r.text, r.finish_reason, r.tokens_in, r.tokens_out, r.batch_rows) for r in replies]
    assert said == [("one", "length", 3, 2, 2), ("now", "length", 3, 2, 2)]
    assert replies[0].seconds == replies[1].seconds is not None
    (llm,) = made
    assert (llm.model, llm.tensor_parallel_size) == ("org/model", 2)
    assert llm.engine.limit_mm_per_prompt == {"image": 64, "audio": 8}
    ((messages, how),) = llm.asked
    assert messages == [messages_of(turn, "Look.") for turn in turns]
    assert [part["type"] for part in messages[0][1]["content"]] == [
        "image_url", "input_audio", "text",
    ]  # fmt: skip
    assert how == [SamplingParams(temperature=0.0, max_tokens=7)] * 2
    asked(model, turns)
    assert len(made) == 1, "loaded once"


def test_a_seed_for_each_row_and_repeat() -> None:
    model, sampling = VLLMModel("org/model"), TokenSampling(temperature=0.9, top_p=0.8)
    turns = [Turn((f"turn {i}",)) for i in range(2)]
    for number in (1, 2):
        asked(model, turns, drawn=Drawn(Repeat(sampling, number), ("a", "b")))
    how = [each for _, params in made[0].asked for each in params]
    assert {(each.temperature, each.top_p, each.max_tokens) for each in how} == {(0.9, 0.8, 7)}
    assert len({each.seed for each in how}) == 4


def test_a_refused_question_costs_its_row_alone() -> None:
    turns = [Turn(("short one",)), Turn(("long " * 9,)), Turn(("short two",))]
    replies = asked(VLLMModel("org/model"), turns)
    assert [reply.text for reply in replies] == ["one", "", "two"]
    assert [reply.error for reply in replies] == [
        None,
        "vLLM refuses it: longer than the maximum model length",
        None,
    ]
    assert [reply.batch_rows for reply in replies] == [1, None, 1], "each was asked alone"


def test_another_model_or_engine_is_another_name() -> None:
    models = [
        VLLMModel("org/model"),
        VLLMModel("org/model", hears=True),
        VLLMModel("org/model", "float16"),
        VLLMModel("org/model", engine={"max_model_len": 99}),
        VLLMModel("other/model"),
    ]
    assert len({model.name for model in models}) == len(models)


def test_what_cannot_be_loaded_is_said(monkeypatch) -> None:
    turns = [Turn(("Which?",))]
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        asked(VLLMModel("org/no_model"), turns)
    with pytest.raises(CheckpointError, match="no_such_option"):
        asked(VLLMModel("org/model", engine={"no_such_option": 1}), turns)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ConfigError, match=r"affect-mllm\[vllm\]"):
        asked(VLLMModel("org/model"), turns)


def test_several_processes_are_refused(monkeypatch) -> None:
    from affect_mllm.eval.generate import vllm_model as module

    monkeypatch.setattr(module, "ranks", lambda: SimpleNamespace(world=2))
    with pytest.raises(ConfigError, match="2 processes"):
        asked(VLLMModel("org/model"), [Turn(("Which?",))])
