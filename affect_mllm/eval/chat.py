"""A language model behind a server or in a folder, pinned: judge, extractor, or what is asked."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Protocol, TypeVar

from affect_mllm.models.decoding import GREEDY, take_over
from affect_mllm.types import ConfigError

Messages = Sequence[dict[str, Any]]
T = TypeVar("T")
R = TypeVar("R")
_REFUSED = {400, 413, 422}  # these words (too long, say), not the request's address or key
PATIENCE_S = 600.0  # nobody waits longer for a single request
_WAIT_ON = {408, 409, 425, 429, 500, 502, 503, 504}  # a later try may succeed


class ReplyError(Exception):
    """No reply came although it was tried again: the sample stays without one, and is counted."""


class Chat(Protocol):
    """Something that answers messages. Asked twice, it should answer the same."""

    @property
    def workers(self) -> int:
        """How many questions may be under way at once."""
        ...

    def identity(self) -> dict[str, Any]:
        """What decides a reply besides the messages; stands beside every score made of it."""
        ...

    def ask(self, messages: Messages) -> str:
        """The reply's text. Raises ReplyError, or ConfigError where no try can succeed."""
        ...


@dataclass(frozen=True)
class Reply:
    """A reply's text, and how it ended: "length" where a limit of tokens cut it off.

    `tokens_in` and `tokens_out` are what the model read and wrote, thoughts included, `seconds` how
    long this one took, where they are known; with `batch_rows` they are those of a batch of so many
    replies, made at once. One with an `error` did not come, one that was `kept` came earlier.
    """

    text: str
    finish_reason: str | None
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float | None = None
    batch_rows: int | None = None
    error: str | None = None
    kept: bool = False


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks OpenAI's chat completions (vLLM, SGLang, llama.cpp, OpenAI …).

    `url` ends where `/chat/completions` begins; the key is read from the environment variable
    `key_env`, and a server without one needs none. Replies are asked for at `temperature`, `top_p`
    if given, with `seed`; `body` adds keys to a request, and null takes one out of it. Busy
    answers, broken connections and torn replies are tried again `retries` times, waiting twice as
    long each time, from `backoff_s` on, or as long as the server says, if that is under 10 minutes.
    `model` is its name at the server, `max_tokens` the most that a reply may have. `workers`
    requests run side by side, each for `timeout_s` seconds at most.
    """

    url: str
    model: str
    key_env: str = "OPENAI_API_KEY"
    max_tokens: int = 512
    seed: int = 0
    temperature: float = 0
    top_p: float | None = None
    timeout_s: float = 120.0
    retries: int = 5
    backoff_s: float = 1.0
    workers: int = 8
    body: dict[str, Any] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """Model, seed, temperature, length and `body`; not where the server is."""
        return {"kind": "endpoint", **self._how}

    @property
    def _how(self) -> dict[str, Any]:
        nucleus = {} if self.top_p is None else {"top_p": self.top_p}
        return {
            "model": self.model,
            "seed": self.seed,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            **nucleus,
            **self.body,
        }

    def ask(self, messages: Messages) -> str:
        """The first choice's text; raises as `reply`."""
        return self.reply(messages).text

    def reply(self, messages: Messages) -> Reply:
        """The first choice.

        ReplyError where no reply came or the server refuses these messages (400, 413, 422);
        ConfigError where it would refuse any (401, 403, 404 …).
        """
        import httpx

        key = os.environ.get(self.key_env)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        said = ""
        for attempt in range(self.retries + 1):
            wait_s, began = self.backoff_s * 2**attempt, time.monotonic()
            try:
                response = _client().post(
                    f"{self.url.rstrip('/')}/chat/completions",
                    json=self._request(messages),
                    headers=headers,
                    timeout=self.timeout_s,
                )
                if response.status_code not in _WAIT_ON:
                    reply = self._reply(response.status_code, response.text)
                    return replace(reply, seconds=round(time.monotonic() - began, 3))
                said = f"HTTP {response.status_code}: {response.text[:200]}"
                wait_s = _asked_to_wait(response.headers, wait_s)
            except httpx.TransportError as error:
                said = f"{type(error).__name__}: {error}"
            except _TornError as error:
                said = str(error)
            if wait_s > PATIENCE_S:
                raise ReplyError(f"{self.url}: {said}, and asks to wait {wait_s:.0f} s")
            if attempt < self.retries:
                time.sleep(wait_s)
        raise ReplyError(f"{self.url}: {said}, {self.retries + 1} times")

    def _request(self, messages: Messages) -> dict[str, Any]:
        given = {"messages": list(messages), **self._how}
        return {key: value for key, value in given.items() if value is not None}

    def _reply(self, status: int, body: str) -> Reply:
        if status in _REFUSED:
            raise ReplyError(f"{self.url}: HTTP {status}: {body[:200]}")
        if status != 200:
            fix = f"set {self.key_env}" if status in (401, 403) else "check url and model"
            raise ConfigError(self.url, f"HTTP {status}: {body[:200]}", expected="200", fix=fix)
        if body.lstrip().startswith("<"):
            raise ConfigError(
                self.url,
                f"no chat completion: {body[:200]!r}",
                expected="choices[0].message",
                fix="check url: it ends where /chat/completions begins, as …/v1",
            )
        try:
            value = json.loads(body)
            choice, usage = value["choices"][0], value.get("usage") or {}
            counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
            text = str(choice["message"]["content"] or "")
            return Reply(text, choice.get("finish_reason"), *counts)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise _TornError(f"no chat completion: {body[:200]!r}") from error


@cache
def reach(url: str) -> None:
    """Whether anybody is there; found out once. ConfigError where nobody is."""
    import httpx

    try:
        _client().get(f"{url.rstrip('/')}/models", timeout=10.0)
    except (httpx.ConnectError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ConfigError(
            url, f"nobody answers: {error}", expected="a server", fix="start it, or check url"
        ) from error
    except httpx.TransportError:
        return  # somebody is, who is slow


class _TornError(Exception):
    """A reply that is none, or not a whole one."""


@cache
def _client() -> Any:
    """Connections that are kept for the next request."""
    import httpx

    return httpx.Client(limits=httpx.Limits(max_connections=None))


def _asked_to_wait(headers: Any, otherwise: float) -> float:
    """Seconds of a Retry-After header: a number, or a date."""
    text = headers.get("retry-after", "")
    if text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return otherwise


@dataclass(frozen=True)
class LocalChat:
    """A causal LM of a local folder, an asset or the Hub, answering greedily, one at a time."""

    model: str
    max_tokens: int = 512
    workers: int = 1
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def identity(self) -> dict[str, Any]:
        """The name, and the hash of the weights: a name alone says nothing of what is there."""
        return {
            "kind": "local",
            "model": self.model,
            "weights": self._parts()["hash"],
            "temperature": 0,
            "decoding": GREEDY,
            "max_tokens": self.max_tokens,
        }

    def ask(self, messages: Messages) -> str:
        """The greedy continuation of the chat."""
        parts = self._parts()
        tokenizer, net = parts["tokenizer"], parts["net"]
        given = tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(net.device)
        ids = net.generate(
            **given,
            do_sample=False,
            max_new_tokens=self.max_tokens,
            pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
        )
        return tokenizer.decode(ids[0, given["input_ids"].shape[1] :], skip_special_tokens=True)

    def _parts(self) -> dict[str, Any]:
        if not self._loaded:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            from affect_mllm.config import weights_path
            from affect_mllm.eval.ranks import ranks
            from affect_mllm.models.pretrained import loading

            path = weights_path(self.model)
            with loading(self.model, "a causal LM"):
                net = AutoModelForCausalLM.from_pretrained(path, use_safetensors=True).eval()
                tokenizer = AutoTokenizer.from_pretrained(path)
            take_over(net, self.model)
            weights = _weights_hash(net)
            self._loaded.update(net=net.to(ranks().device), tokenizer=tokenizer, hash=weights)
        return self._loaded


def _weights_hash(net: Any) -> str:
    """sha256 over all weights: a folder's name says nothing about what is in it."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def each(work: Callable[[T], R], items: Iterable[T], *, workers: int, title: str) -> list[R]:
    """`work` on every item, several at once, in the items' order, with a progress bar.

    Where it raises for one, none is begun any more.
    """
    from rich.console import Console
    from rich.progress import track

    todo = list(items)
    why: list[Exception] = []

    def one(item: T) -> R:
        if why:
            raise why[0]
        try:
            return work(item)
        except Exception as error:
            why.append(error)
            raise

    with ThreadPoolExecutor(max(1, workers)) as pool:
        done = pool.map(one, todo)
        return list(track(done, title, len(todo), console=Console(stderr=True)))
