"""A Hugging Face VLM, or one behind a server such as vLLM's, on the same way and the same pictures.

It is asked the same question about what `data/reader` reads for our own model: the same frames or
face crops, in the same order, before our encoders' preprocessing. It hears nothing.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from affect_mllm.data.messages import media_of, user_content
from affect_mllm.data.reader import Reader
from affect_mllm.data.template import Media, Prompt
from affect_mllm.eval.chat import Endpoint, Reply, ReplyError, each, request_hash
from affect_mllm.eval.generate.question import (
    WHOLE,
    Choose,
    Question,
    Unseen,
    batches_of,
    everything,
    unanswered,
)
from affect_mllm.eval.generate.views import VISUAL, View
from affect_mllm.models.decoding import GREEDY, Repeat, take_over
from affect_mllm.types import DataError, Sample, modality_of

_SEVERAL = Prompt(lines=dict.fromkeys(Prompt().order, "{}"), question="\n{}")
Turn = tuple[list[np.ndarray], str]  # pictures `[H, W, 3]` uint8, and the text
PICTURE = "\x00"  # where in a text a picture goes; those of a text without any go before it


@dataclass(frozen=True)
class Drawn:
    """That answers are drawn, and for which rows."""

    repeat: Repeat
    rows: tuple[str, ...]

    def part(self, start: int, end: int) -> Drawn:
        """For some of the rows."""
        return Drawn(self.repeat, self.rows[start:end])


class VLM(Protocol):
    """Pictures and a text in, an answer out."""

    @property
    def name(self) -> str:
        """What stands as `checkpoint` beside its scores: short, and no other model's."""
        ...

    def identity(self) -> dict[str, str]:
        """What decides its answers: where its weights are, and what they are computed in."""
        ...

    def generate(
        self, turns: Sequence[Turn], *, system: str, max_new_tokens: int, drawn: Drawn | None = None
    ) -> list[Reply]:
        """One answer a turn, greedy or `drawn` for the turns' rows."""
        ...


@dataclass(frozen=True)
class HFVLM:
    """Any image-text-to-text model of transformers: a local folder or a Hub id."""

    model: str
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    batch_size: int = 8
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Its last path component, and a hash of the rest of its identity."""
        return _short_name(self.model, self.identity())

    def identity(self) -> dict[str, str]:
        """The whole path of a folder, or the Hub id, and the data type."""
        folder = Path(self.model)
        whole = str(folder.resolve()) if folder.is_dir() else self.model
        return {"kind": "hf", "model": whole, "dtype": self.dtype}

    def generate(
        self, turns: Sequence[Turn], *, system: str, max_new_tokens: int, drawn: Drawn | None = None
    ) -> list[Reply]:
        """Answers, in batches of left-padded prompts."""
        answers: list[Reply] = []
        for start in range(0, len(turns), self.batch_size):
            end = start + self.batch_size
            answers += self._batch(
                turns[start:end],
                system=system,
                max_new_tokens=max_new_tokens,
                drawn=drawn and drawn.part(start, end),
            )
        return answers

    def _batch(
        self, turns: Sequence[Turn], *, system: str, max_new_tokens: int, drawn: Drawn | None
    ) -> list[Reply]:
        from transformers import LogitsProcessorList

        parts = self._parts()
        processor, net = parts["processor"], parts["net"]
        texts = [
            processor.apply_chat_template(
                _chat(pictures, text, system), add_generation_prompt=True, tokenize=False
            )
            for pictures, text in turns
        ]
        pictures = [list(shown) for shown, _ in turns]
        inputs = processor(
            text=texts,
            images=pictures if any(pictures) else None,
            padding=True,
            return_tensors="pt",
        ).to(net.device)
        with torch.inference_mode():
            chooser = drawn and drawn.repeat.chooser(drawn.rows, max_new_tokens)
            ids = net.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=max_new_tokens,
                logits_processor=chooser and LogitsProcessorList([chooser]),
            )
        new = ids[:, inputs["input_ids"].shape[1] :]
        ended = torch.isin(new, torch.tensor(_ends(net), device=new.device)).any(-1).tolist()
        texts = processor.batch_decode(new, skip_special_tokens=True)
        return [
            Reply(text.strip(), "stop" if done else "length")
            for text, done in zip(texts, ended, strict=True)
        ]

    def _parts(self) -> dict[str, Any]:
        if not self._loaded:
            from transformers import AutoModelForImageTextToText, AutoProcessor

            from affect_mllm.config import weights_path
            from affect_mllm.eval.ranks import ranks
            from affect_mllm.models.pretrained import loading

            path = weights_path(self.model)
            with loading(self.model, "an image-text-to-text model"):
                processor = AutoProcessor.from_pretrained(path)
                net = AutoModelForImageTextToText.from_pretrained(
                    path, dtype=self.dtype, use_safetensors=True
                )
            take_over(net, self.model)
            processor.tokenizer.padding_side = "left"  # generation goes on at the right end
            self._loaded.update(processor=processor, net=net.eval().to(ranks().device))
        return self._loaded


@dataclass(frozen=True)
class EndpointVLM:
    """A VLM behind an OpenAI-compatible server (`vllm serve MODEL`): pictures travel as PNG."""

    url: str
    model: str
    key_env: str = "OPENAI_API_KEY"
    workers: int = 8

    @property
    def name(self) -> str:
        """The server's name of the model, and a hash of the rest of its identity."""
        return _short_name(self.model, self.identity())

    def identity(self) -> dict[str, str]:
        """The server and its name of the model."""
        return {"kind": "endpoint", "model": self.model, "url": self.url.rstrip("/")}

    def generate(
        self, turns: Sequence[Turn], *, system: str, max_new_tokens: int, drawn: Drawn | None = None
    ) -> list[Reply]:
        """Answers at temperature 0, or drawn with a seed for each row, as far as the server heeds
        it; DataError where it gives none.
        """
        server = Endpoint(self.url, self.model, key_env=self.key_env, max_tokens=max_new_tokens)

        def one(asked: tuple[Turn, Endpoint]) -> Reply:
            (pictures, text), endpoint = asked
            content = [
                {"type": "text", "text": part}
                if isinstance(part, str)
                else {"type": "image_url", "image_url": {"url": _png(part)}}
                for part in _content(pictures, text)
            ]
            messages: list[dict[str, Any]] = [{"role": "system", "content": system}]
            reply = endpoint.reply([*messages, {"role": "user", "content": content}])
            return replace(reply, text=reply.text.strip())

        ways = [server] * len(turns) if drawn is None else _seeded(server, drawn)
        asked = list(zip(turns, ways, strict=True))
        try:
            return each(one, asked, workers=self.workers, title=f"asking {self.name}")
        except ReplyError as error:
            raise DataError(self.url, str(error), fix="start the same command again") from error


@dataclass(frozen=True)
class BaselineAsker:
    """A VLM with the reader, system message and rows of our own evaluation."""

    vlm: VLM
    reader: Reader
    system: str
    max_new_tokens: int
    data: str = ""
    chunk: int = 32
    repeat: Repeat | None = None  # greedy answers without one

    def answer(
        self,
        samples: Sequence[Sample],
        question: Question,
        view: View = WHOLE,
        choose: Choose = everything,
    ) -> Iterator[dict[str, Any]]:
        """One prediction row a sample; a row of which nothing is left gets an empty answer."""
        stamp = self.stamp(question)
        for batch in choose(batches_of(samples, lambda sample: 0, self.chunk)):
            asked: list[tuple[Sample, Turn, list[str]]] = []
            for sample in batch:
                try:
                    asked.append((sample, *self._turn(sample, question, view)))
                except DataError as error:
                    yield {**unanswered(sample, error), **stamp}
            turns = [turn for _, turn, _ in asked]
            rows = tuple(sample.id for sample, _, _ in asked)
            replies = self.vlm.generate(
                turns,
                system=self.system,
                max_new_tokens=self.max_new_tokens,
                drawn=self.repeat and Drawn(self.repeat, rows),
            )
            for (sample, _, seen), reply in zip(asked, replies, strict=True):
                said = {"response": reply.text, "finish_reason": reply.finish_reason}
                yield {"id": sample.id, **said, "modalities": seen, **stamp}

    def stamp(self, question: Question) -> dict[str, str]:
        """Model, prompt, reader and data."""
        how = f"{self.repeat or GREEDY}, at most {self.max_new_tokens} tokens"
        told = json.dumps([self.system, question.text, self.reader.settings()], sort_keys=True)
        return {
            "prompt_hash": hashlib.sha256(told.encode()).hexdigest()[:16],
            "checkpoint": self.vlm.name,
            "data": f"{self.data[:16]}, {how}",
        }

    def _turn(self, sample: Sample, question: Question, view: View) -> tuple[Turn, list[str]]:
        read: dict[str, np.ndarray] = {}
        if "face" in view.modalities:
            found = self.reader.read(sample, dict.fromkeys(VISUAL, _untouched)).arrays
            read = {
                name: images for name, images in found.items() if isinstance(images, np.ndarray)
            }
        words = sample.subtitle if "text" in view.modalities else None
        asked = question.about(sample)
        used = media_of(sample, list(read), asked)
        if not used and not words and not (sample.is_words and "text" in view.modalities):
            raise Unseen(
                f"row {sample.id}", "no picture and no text", expected="something that a VLM sees"
            )
        text = f"Subtitle: {words}\n{asked}" if words else asked
        if sample.clips:
            content = user_content(_SEVERAL, sample, used, words, asked)
            used = [part.modality for part in content if isinstance(part, Media)]
            text = "".join(
                part if isinstance(part, str) else PICTURE * len(read[part.modality])
                for part in content
            )
        seen = dict.fromkeys(map(modality_of, used))
        pictures = [image for name in used for image in read[name]]
        return (pictures, text), [*seen, *(["text"] if words or sample.is_words else [])]


def _short_name(model: str, identity: dict[str, str]) -> str:
    return f"{model.rstrip('/').rpartition('/')[2]}-{request_hash(identity)[:8]}"


def _ends(net: Any) -> list[int]:
    """The ids of the tokens that end an answer; a model may have several."""
    found = net.generation_config.eos_token_id
    return [] if found is None else [found] if isinstance(found, int) else list(found)


def _seeded(server: Endpoint, drawn: Drawn) -> list[Endpoint]:
    """The server as it is asked for each row."""
    sampling = drawn.repeat.sampling
    how = replace(server, temperature=sampling.temperature, top_p=sampling.top_p)
    return [replace(how, seed=drawn.repeat.seed_of(row)) for row in drawn.rows]


def _untouched(images: np.ndarray) -> np.ndarray:
    return np.asarray(images)


def _content(pictures: Sequence[np.ndarray], text: str) -> list[np.ndarray | str]:
    """Pictures and texts in the order in which they are said."""
    if text.count(PICTURE) != len(pictures):
        return [*pictures, text]
    first, *rest = text.split(PICTURE)
    parts: list[np.ndarray | str] = [first] if first or not rest else []
    for picture, words in zip(pictures, rest, strict=True):
        parts += [picture, words] if words else [picture]
    return parts


def _chat(pictures: Sequence[np.ndarray], text: str, system: str) -> list[dict[str, Any]]:
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
        for part in _content(pictures, text)
    ]
    told = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
    return [*told, {"role": "user", "content": content}]


def _png(picture: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
