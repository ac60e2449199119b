"""Answers while they are written: tokens to pieces of text that no later token takes back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from affect_mllm.data.chat import Chat

# A row's id and the next piece of its answer ("": none yet) in; whether anyone still listens.
Heard = Callable[[str, str], bool]

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # SentencePiece's: a letter in several of them, or none
_HALF = "\ufffd"  # what a letter is whose last bytes are still to come


class Pieces:
    """A `models.decoding.Listener` of some rows, which tells `heard` what each of them says.

    A row's pieces are its answer, cut up. A tokenizer that mends spaces behind itself
    (`clean_up_tokenization_spaces`) is heard when all is said.
    """

    def __init__(self, chat: Chat, rows: Sequence[str], heard: Heard) -> None:
        self._chat, self._rows, self._heard = chat, rows, heard
        self._ids: list[list[int]] = [[] for _ in rows]
        self._said = [""] * len(rows)
        self._over = [False] * len(rows)
        self._left = [False] * len(rows)
        self._mends = bool(getattr(chat.tokenizer, "clean_up_tokenization_spaces", False))

    def hear(self, tokens: Sequence[int]) -> list[bool]:
        """Take every row's newest token; which rows have ended, or are not listened to."""
        for number, token in enumerate(tokens):
            if self._over[number] or self._left[number]:
                continue
            if token == self._chat.end_id:
                self._over[number] = True
                continue
            self._ids[number].append(token)
            self._say(number, "" if self._mends else self._settled(self._ids[number]))
        return [over or left for over, left in zip(self._over, self._left, strict=True)]

    def end(self, answers: Sequence[str]) -> None:
        """Tell the rest of the rows' whole answers."""
        for number, answer in enumerate(answers):
            if self._left[number]:
                continue
            assert answer.startswith(self._said[number]), (answer, self._said[number])
            self._say(number, answer)

    def _say(self, number: int, text: str) -> None:
        piece = text[len(self._said[number]) :]
        self._said[number] += piece
        self._left[number] = not self._heard(self._rows[number], piece)

    def _settled(self, ids: Sequence[int]) -> str:
        tokenizer = self._chat.tokenizer
        spelled = tokenizer.convert_ids_to_tokens(ids)
        whole = len(ids)
        while whole and _BYTE.fullmatch(spelled[whole - 1] or ""):
            whole -= 1
        text = tokenizer.decode(ids[:whole], skip_special_tokens=True)
        return self._chat.settled(text.rstrip(_HALF).strip())
