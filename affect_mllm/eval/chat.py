"""A language model that helps to evaluate (judge, extractor): an endpoint or a folder, pinned.

Every reply is kept in a file and found again by the request that it answers, so that a score can
be made again without the model, and a killed run goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from affect_mllm.models.decoding import GREEDY, take_over
from affect_mllm.types import ConfigError, DataError

Messages = Sequence[dict[str, Any]]
T = TypeVar("T")
R = TypeVar("R")
_REFUSED = {400, 413, 422}  # these words (too long, say), not the request's address or key
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
    """A reply's text, and how it ended: "length" where a limit of tokens cut it off."""

    text: str
    finish_reason: str | None


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks OpenAI's chat completions (vLLM, SGLang, llama.cpp, OpenAI …).

    `url` ends where `/chat/completions` begins; the key is read from the environment variable
    `key_env`, and a server without one needs none. Replies are asked for at `temperature`, `top_p`
    if given, with `seed`. Busy answers and broken connections are tried again `retries` times,
    waiting twice as long each time, from `backoff_s` on, or as long as the server says.
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

    def identity(self) -> dict[str, Any]:
        """Model, seed, temperature and length; not where the server is."""
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
            try:
                response = httpx.post(
                    f"{self.url.rstrip('/')}/chat/completions",
                    json=self._body(messages),
                    headers=headers,
                    timeout=self.timeout_s,
                )
            except httpx.TransportError as error:
                said, wait_s = f"{type(error).__name__}: {error}", None
            else:
                if response.status_code not in _WAIT_ON:
                    return self._reply(response.status_code, response.text)
                said, wait_s = f"HTTP {response.status_code}", _asked_to_wait(response.headers)
            if attempt < self.retries:
                time.sleep(self.backoff_s * 2**attempt if wait_s is None else wait_s)
        raise ReplyError(f"{self.url}: {said}, {self.retries + 1} times")

    def _body(self, messages: Messages) -> dict[str, Any]:
        return {"messages": list(messages), **self._how}

    def _reply(self, status: int, body: str) -> Reply:
        if status in _REFUSED:
            raise ReplyError(f"{self.url}: HTTP {status}: {body[:200]}")
        if status != 200:
            fix = f"set {self.key_env}" if status in (401, 403) else "check url and model"
            raise ConfigError(self.url, f"HTTP {status}: {body[:200]}", expected="200", fix=fix)
        try:
            choice = json.loads(body)["choices"][0]
            return Reply(str(choice["message"]["content"] or ""), choice.get("finish_reason"))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise ConfigError(
                self.url, f"no chat completion: {body[:200]!r}", expected="choices[0].message"
            ) from error


def _asked_to_wait(headers: Any) -> float | None:
    """Seconds of a Retry-After header, if it has a number."""
    text = headers.get("retry-after", "")
    return float(text) if text.replace(".", "", 1).isdigit() else None


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


class KeptReplies:
    """A Chat whose replies are kept in a JSONL file: asked the same again, it reads them there."""

    def __init__(self, chat: Chat, path: Path) -> None:
        self.chat, self.path = chat, path
        self.workers = chat.workers
        self._identity = chat.identity()
        self._lock = threading.Lock()
        self._known = dict(_kept(path))

    def identity(self) -> dict[str, Any]:
        """Of the model behind."""
        return self._identity

    def ask(self, messages: Messages) -> str:
        """The kept reply, or the model's, which is kept before it is returned."""
        key = request_hash([self._identity, list(messages)])
        if key not in self._known:
            text = self.chat.ask(messages)
            row = {"key": key, "reply": text, "messages": list(messages), **self._identity}
            with self._lock:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row, ensure_ascii=False) + "\n")
                self._known[key] = text
        return self._known[key]


def request_hash(value: Any) -> str:
    """Hash of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _kept(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        return
    data = path.read_bytes()
    whole, _, torn = data.rpartition(b"\n")
    if torn:  # a kill tears the last line; what is appended next must not join it
        path.write_bytes(whole + b"\n" if whole else b"")
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            row = json.loads(line)
            yield row["key"], row["reply"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}:{number}", f"not a kept reply ({error})", fix="remove this line"
            ) from error


def each(work: Callable[[T], R], items: Iterable[T], *, workers: int, title: str) -> list[R]:
    """`work` on every item, several at once, in the items' order, with a progress bar."""
    from rich.console import Console
    from rich.progress import track

    todo = list(items)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        done = pool.map(work, todo)
        return list(track(done, title, len(todo), console=Console(stderr=True)))
