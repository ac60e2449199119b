"""Eight families of chat models in small: their templates' form, and four kinds of tokenizer.

The templates are written for these tests and produce the published forms of the families, as the
models' cards and documentation describe them; the tokenizers are trained here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Families that put a system message into a turn of the user's.
APART = (
    "{% if messages[0]['role'] == 'system' %}{% set told = messages[0]['content'] %}"
    "{% set said = messages[1:] %}{% else %}{% set told = '' %}{% set said = messages %}{% endif %}"
)
LLAMA2 = (
    APART + "{% for m in said %}{% if m['role'] == 'user' %}{% set head = '<<SYS>>\n' + told + "
    "'\n<</SYS>>\n\n' if told and loop.first else '' %}{{ bos_token + '[INST] ' + head + "
    "(m['content'] | trim) + ' [/INST]' }}{% else %}{{ ' ' + (m['content'] | trim) + ' ' + "
    "eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + "
    "'<|end_header_id|>\n\n' + (m['content'] | trim) + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)
MISTRAL = (  # a system message goes into the last turn, if that is the user's, else it is lost
    APART + "{{ bos_token }}{% for m in said %}{% if m['role'] == 'user' %}{{ '[INST] ' + "
    "(told + '\n\n' if told and loop.last else '') + m['content'] + '[/INST]' }}{% else %}"
    "{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
PHI = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}"
    "{% endfor %}{{ '<|assistant|>\n' if add_generation_prompt else eos_token }}"
)
GEMMA = (
    APART + "{{ bos_token }}{% for m in said %}{% set name = 'model' if m['role'] == 'assistant' "
    "else 'user' %}{{ '<start_of_turn>' + name + '\n' + (told + '\n\n' if told and loop.first else "
    "'') + (m['content'] | trim) + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
SMOLLM3 = (
    APART + "{% if enable_thinking is not defined %}{% set enable_thinking = true %}{% endif %}"
    "{% if '/no_think' in told %}{% set enable_thinking = false %}{% endif %}"
    "{% set told = told.replace('/no_think', '') | trim %}"
    "{% set blank = '' if enable_thinking else '<think>\n\n</think>\n' %}"
    "{{ '<|im_start|>system\n## Metadata\n\nToday Date: ' + strftime_now('%d %B %Y') + "
    "'\nReasoning Mode: ' + ('/think' if enable_thinking else '/no_think') + '\n\n' + told + "
    "'<|im_end|>\n' }}{% for m in said %}{{ '<|im_start|>' + m['role'] + '\n' + "
    "(blank if m['role'] == 'assistant' else '') + m['content'].lstrip('\n') + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' + blank }}{% endif %}"
)
QWEN3 = (  # thoughts stand before the last answer alone; the prompt has them where none are wanted
    "{% for m in messages %}{% set parts = m['content'].split('</think>') %}"
    "{% set text = parts[-1].lstrip('\n') if parts[1:] else m['content'] %}"
    "{% set thoughts = parts[0].split('<think>')[-1].strip('\n') if parts[1:] else '' %}"
    "{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' and loop.last %}"
    "{{ '<think>\n' + thoughts + '\n</think>\n\n' }}{% endif %}{{ text + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """A template, its special tokens (`bare`: with the line break behind them), and their use."""

    template: str
    special: tuple[str, ...]
    end: str
    eos: str | None = None
    bos: str | None = None
    bare: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()  # tokens of their own that are not special
    arguments: dict[str, Any] = field(default_factory=dict)


IM = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
THINK = ("<think>", "</think>")
HEADERS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
PHI_ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
OFF = {"enable_thinking": False}
FAMILIES = {
    "chatml": Family(CHATML, IM, "<|im_end|>", "<|endoftext|>"),
    "llama2": Family(LLAMA2, ("<s>", "</s>"), "</s>", bos="<s>"),
    "llama3": Family(LLAMA3, HEADERS, "<|eot_id|>", bos="<|begin_of_text|>"),
    "mistral": Family(MISTRAL, ("<s>", "</s>"), "</s>", bos="<s>"),
    "phi": Family(PHI, ("<|endoftext|>", "<|end|>"), "<|end|>", "<|endoftext|>", bare=PHI_ROLES),
    "gemma": Family(
        GEMMA, ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), "<end_of_turn>", "<eos>",
        "<bos>", plain=("\n\n", "\n\n\n"),
    ),
    "smollm3": Family(SMOLLM3, IM, "<|im_end|>", plain=THINK),
    "smollm3, no thoughts": Family(SMOLLM3, IM, "<|im_end|>", plain=THINK, arguments=OFF),
    "qwen3": Family(QWEN3, IM, "<|im_end|>", "<|endoftext|>", plain=THINK),
    "qwen3, no thoughts": Family(QWEN3, IM, "<|im_end|>", plain=THINK, arguments=OFF),
}  # fmt: skip
TEXT = [
    "What does she feel ? Be brief . happy joy sad calm angry user assistant system model INST SYS",
    'The person says that the day was good, and smiles; then "why" comes. 12 3.5 !? I\'m fine:',
    "Today Date Reasoning Mode Metadata think no_think ## << >> <</ ▁ [INST] [/INST] \n\n",
] * 3


@cache
def _pieces(kind: str) -> dict[str, Any]:
    """The model of a tokenizer that was trained on TEXT, as tokenizers writes it down."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    common: dict[str, Any] = {"vocab_size": 420, "show_progress": False}
    if kind == "byte-level":
        trained = Tokenizer(models.BPE())
        trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = trainers.BpeTrainer(initial_alphabet=alphabet, **common)
    else:
        unigram = kind == "unigram"
        trained = Tokenizer(models.Unigram() if unigram else models.BPE())
        trained.normalizer = normalizers.Replace(" ", "▁")
        trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        more = {"unk_token": "<unk>", "special_tokens": ["<unk>"]} if unigram else {}
        trainer = (trainers.UnigramTrainer if unigram else trainers.BpeTrainer)(**common, **more)
    trained.train_from_iterator(TEXT, trainer)
    return json.loads(trained.to_str())["model"]


KINDS = ("byte-level", "sentencepiece", "sentencepiece of old", "unigram")


def tokenizer(family: str, kind: str) -> Any:
    """A tokenizer of `kind` with the template and the special tokens of `family`.

    The two of SentencePiece's are Llama's: `▁` before the first text alone, or before every text
    that follows a special token.
    """
    from transformers import AddedToken, PreTrainedTokenizerFast

    is_of = FAMILIES[family]
    made = PreTrainedTokenizerFast(
        tokenizer_object=_backend(kind, ["<unk>", *is_of.special]),
        unk_token="<unk>",
        eos_token=is_of.eos or is_of.end,
        bos_token=is_of.bos,
        chat_template=is_of.template,
        clean_up_tokenization_spaces=False,
    )
    names = [*is_of.special, *is_of.bare]
    special = [AddedToken(n, special=True, rstrip=n in is_of.bare, normalized=False) for n in names]
    made.add_tokens(special, special_tokens=True)
    made.add_tokens([AddedToken(name, special=False, normalized=False) for name in is_of.plain])
    return made


def _backend(kind: str, special: list[str]) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    known = _pieces(kind)
    if kind == "unigram":
        pieces = [(name, 0.0) for name in special]
        pieces += [(piece, score) for piece, score in known["vocab"] if piece != "<unk>"]
        backend = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        backend.decoder = decoders.Metaspace(prepend_scheme="first")
        return backend
    letters = [] if kind == "byte-level" else [f"<0x{number:02X}>" for number in range(256)]
    pieces = [*special, *letters, *known["vocab"]]
    vocab = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    merges = [tuple(pair) for pair in known["merges"]]
    options = {} if kind == "byte-level" else {"byte_fallback": True, "unk_token": "<unk>"}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=merges, **options))
    if kind == "byte-level":
        split = pre_tokenizers.Split(Regex(r"\s*[\r\n]+|\s+(?!\S)| ?[^\s]+|\s+"), "isolated")
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([split, level])
        backend.decoder = decoders.ByteLevel()
        return backend
    if kind == "sentencepiece":
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        backend.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence(steps)
    return backend
