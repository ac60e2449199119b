"""Batches on their way to a GPU that is not there: pinned, copied ahead, waited for in order."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data._utils.pin_memory import pin_memory

from affect_mllm.data.loader import StepBatch
from affect_mllm.train.step import moving as moves
from affect_mllm.train.step.moving import moving
from affect_mllm.types import Batch, ConfigError, MediaBatch
from tests.fake_cuda import CUDA

CPU = torch.device("cpu")


def batch(name: str) -> Batch:
    """One of each kind of tensor that a batch has."""
    words = torch.zeros(1, 4, dtype=torch.long)
    items = MediaBatch(
        torch.zeros(1, 2, 3, 4, 4, dtype=torch.uint8), torch.ones(1, 2).bool(), (0,), False
    )
    media = {"face": items}
    return Batch(words, words, words, words, (), media, (name,), idle={"audio": items})


def tensors(of: Batch) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    of.each(lambda tensor: (found.append(tensor), tensor)[1])
    return found


def test_a_batch_has_no_tensor_that_each_does_not_find() -> None:
    one = batch("a")
    parts = [one, *one.media.values(), *one.idle.values(), one.borders._asdict()]
    known = {id(tensor) for tensor in tensors(one)}
    for part in parts:
        values = part.values() if isinstance(part, dict) else vars(part).values()
        held = {id(each) for each in values if isinstance(each, torch.Tensor)}
        assert held <= known
    assert len(tensors(one)) == 4 + 2 + 2 + 2


def test_on_the_cpu_it_stays_what_it_is() -> None:
    one = batch("a")
    (there,) = moving([one], CPU)
    assert all(a is b for a, b in zip(tensors(one), tensors(there), strict=True))
    assert there.on_host is one


def test_the_loaders_thread_pins_every_tensor_and_hands_errors_on(monkeypatch) -> None:
    pinned: list[int] = []

    def pin(tensor: torch.Tensor, *_: Any) -> torch.Tensor:
        pinned.append(id(tensor))
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    step = StepBatch((batch("a"), batch("b")), 0, 2, ())
    made = pin_memory(step)
    assert isinstance(made, StepBatch)
    assert set(pinned) == {id(each) for micro in step.micro_batches for each in tensors(micro)}
    error = ConfigError("here", "this")
    assert pin_memory(error) is error


class Gpu:
    """Streams that write down what happens on them."""

    def __init__(self, monkeypatch) -> None:
        self.said: list[Any] = []
        self.now = self.computing = self.stream("computing")
        copy = torch.Tensor.to
        gpu = self

        def to(tensor: torch.Tensor, *where: Any, **how: Any) -> torch.Tensor:
            assert how == {"non_blocking": True}, "the host would wait"
            gpu.said.append(("copy", gpu.now.name, tensor.is_pinned()))
            return copy(tensor, *where, **how)

        def pin(tensor: torch.Tensor, *_: Any) -> torch.Tensor:
            gpu.pinned.add(id(tensor))
            return tensor

        self.pinned: set[int] = set()
        changes = {
            "to": to,
            "pin_memory": pin,
            "is_pinned": lambda tensor, *_: id(tensor) in gpu.pinned,
            "record_stream": lambda _, stream: gpu.said.append(("record", stream.name)),
        }
        for name, change in changes.items():
            monkeypatch.setattr(torch.Tensor, name, change)
        monkeypatch.setattr(torch.cuda, "Stream", lambda _device: self.stream("copies"))
        monkeypatch.setattr(torch.cuda, "stream", self.on)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: self.now)
        moves._stream.cache_clear()

    def stream(self, name: str) -> Any:
        gpu = self

        class Stream:
            def __init__(self) -> None:
                self.name, self.events = name, 0

            def record_event(self) -> str:
                self.events += 1
                gpu.said.append(("event", self.events))
                return f"{name} {self.events}"

            def wait_event(self, event: str) -> None:
                gpu.said.append(("wait", name, event))

        return Stream()

    @contextmanager
    def on(self, stream: Any):
        before, self.now = self.now, stream
        yield
        self.now = before


def test_the_next_batch_is_copied_before_the_one_at_hand_is_given_out(monkeypatch) -> None:
    mode = FakeTensorMode()
    given = [batch(name).each(mode.from_tensor) for name in "abc"]
    gpu, size = Gpu(monkeypatch), len(tensors(given[0]))
    with mode:
        for number, there in enumerate(moving(given, CUDA), 1):
            assert {each.device for each in tensors(there)} == {CUDA}
            assert there.on_host is given[number - 1]
            gpu.said.append(("compute", number))
    moves._stream.cache_clear()
    copies = [("copy", "copies", True)] * size

    def used(number: int) -> list[Any]:
        waits = ("wait", "computing", f"copies {number}")
        return [waits, *[("record", "computing")] * size, ("compute", number)]

    begun = [[*copies, ("event", number)] for number in (1, 2, 3)]
    assert gpu.said == [
        *begun[0],
        *begun[1],
        *used(1),
        *begun[2],
        *used(2),
        *used(3),
    ]
