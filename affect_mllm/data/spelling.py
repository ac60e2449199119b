"""A tokenizer's twin that reads a whole chat, of which only the frame can spell special tokens."""

from __future__ import annotations

import json
import re
import secrets
from functools import cached_property
from typing import Any

from affect_mllm.types import ConfigError


class Spelling:
    """The same tokenizer with its special tokens under names that no row can guess.

    A chat is read as one text, since normalisers, pre-tokenizers and merges look across the border
    of frame and content (SentencePiece's `▁`). Written by their own names, special tokens are
    plain text in it; `special` gives a frame the names that are read as their ids. `medium` is read
    as `medium_id`, an id that no token of the LLM has.
    Raises ConfigError for a tokenizer that is not one of the library `tokenizers`.
    """

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers import AddedToken, Tokenizer

        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ConfigError(
                "tokenizer",
                f"a {type(tokenizer).__name__}",
                expected="one of the library tokenizers (a folder with a tokenizer.json)",
                fix="save it with transformers' AutoTokenizer, or take another LLM",
            )
        nonce = secrets.token_hex(8)
        state: dict[str, Any] = json.loads(backend.to_str())
        specials = [token for token in state["added_tokens"] if token["special"]]
        self._names = {t["content"]: f"<{nonce}:{number}>" for number, t in enumerate(specials)}
        self.medium = f"<{nonce}:medium>"
        self._twin = Tokenizer.from_str(json.dumps(_renamed(state, self._names)))
        self._twin.add_special_tokens([AddedToken(self.medium, normalized=False)])
        self.medium_id: int = self._twin.encode(self.medium, add_special_tokens=False).ids[0]

    def read(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids `[L]`, and from and to which character each of them goes."""
        found = self._twin.encode(text, add_special_tokens=False)
        return found.ids, found.offsets

    def special(self, frame: str) -> str:
        """A frame whose special tokens are written as they are read here."""
        if not self._names:
            return frame
        return self._pattern.sub(lambda match: self._names[match[0]], frame)

    def holds_special(self, text: str) -> bool:
        """Whether something in it looks like a special token."""
        return bool(self._names) and self._pattern.search(text) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._names, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)))


def _renamed(state: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """A tokenizer's JSON with other names for some tokens, and nothing added around a text."""
    model = dict(state["model"])
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        model["vocab"] = {names.get(piece, piece): number for piece, number in vocab.items()}
    else:  # Unigram's pairs of piece and score
        model["vocab"] = [[names.get(piece, piece), *score] for piece, *score in vocab]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    added = [{**t, "content": names.get(t["content"], t["content"])} for t in state["added_tokens"]]
    plain = dict.fromkeys(("truncation", "padding", "post_processor"))
    return {**state, **plain, "model": model, "added_tokens": added}
