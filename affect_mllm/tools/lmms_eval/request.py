"""A request of lmms-eval as a manifest row and a question."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affect_mllm.types import ConfigError, Sample

KINDS = ("image", "video", "audio")
_PLACEHOLDER = re.compile(r"<image(?: \d+)?>|<video>|<audio>")


@dataclass(frozen=True)
class Asked:
    """One request: the row of its media, its words, and what ends the answer."""

    sample: Sample
    question: str
    until: tuple[str, ...]
    max_new_tokens: int

    def cut(self, answer: str) -> str:
        """The answer up to the first of the texts that end it."""
        ends = [at for at in (answer.find(each) for each in self.until if each) if at >= 0]
        return answer[: min(ends, default=len(answer))].strip()


def asked(
    id: str, messages: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], folder: Path
) -> Asked:
    """The request of chat `messages` (`{"role", "content": [{"type", "text" | "url"}]}`).

    Pictures that are no files yet are written to `folder`. ConfigError for what our models cannot
    do: several media of a kind, an earlier answer, an answer that is drawn.
    """
    if settings.get("do_sample") or settings.get("temperature"):
        raise ConfigError(
            f"lmms-eval, {id}", f"generation_kwargs {dict(settings)}", expected="greedy answers",
            fix="--gen_kwargs temperature=0",
        )  # fmt: skip
    texts, media = [], dict[str, str]()
    for message in messages:
        if message["role"] == "assistant":
            raise ConfigError(f"lmms-eval, {id}", "several turns", expected="one question")
        for part in message["content"]:
            if part["type"] == "text":
                texts.append(part["text"])
            elif part["type"] in media or part["type"] not in KINDS:
                raise ConfigError(
                    f"lmms-eval, {id}", f"several media of kind {part['type']}", expected="one each"
                )
            else:
                media[part["type"]] = _file(part["url"], folder / f"{id}-{part['type']}")
    until = settings.get("until") or ()
    return Asked(
        Sample(id, Path("/"), media),
        _PLACEHOLDER.sub("", "\n".join(texts)).strip(),
        (until,) if isinstance(until, str) else tuple(until),
        int(settings.get("max_new_tokens") or 128),
    )


def _file(medium: Any, path: Path) -> str:
    """A medium's path: of a file as it is, of a picture or sound in memory once it is written."""
    if isinstance(medium, str | Path):
        return str(Path(medium).resolve())
    write, ending = _writer(medium)
    path = path.with_suffix(ending)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    return str(path)


def _writer(medium: Any) -> tuple[Callable[[Path], object], str]:
    if hasattr(medium, "convert"):  # a picture of Pillow
        return lambda path: medium.convert("RGB").save(path), ".png"
    if isinstance(medium, Mapping) and "array" in medium:  # a sound of datasets
        return lambda path: _sound(path, medium), ".wav"
    raise ConfigError(
        "lmms-eval", f"a medium of type {type(medium).__name__}", expected="a path, a picture"
    )


def _sound(path: Path, medium: Mapping[str, Any]) -> None:
    from scipy.io import wavfile

    samples = np.asarray(medium["array"], dtype=np.float32)
    wavfile.write(path, int(medium["sampling_rate"]), samples)
