"""A tiny LLM that has learnt to answer "happy" and end its turn, and rambles on behind that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from affect_mllm.data.chat import Chat
from affect_mllm.data.template import Turn
from tests.data.chat_families import tokenizer

ANSWER, RAMBLE = "happy", " user sad angry calm user sad angry calm"


def save(
    folder: Path,
    chat: Callable[[Any], Chat],
    family: str,
    kind: str,
    *,
    tied: bool,
    **generation: Any,
) -> None:
    """Write a Llama with the template of `family`; `generation` is its own generation_config.

    Its eos, and that of its generation_config, is a token that no chat ends with.
    """
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    made = tokenizer(family, kind)
    net = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(made),
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=made.eos_token_id,
            tie_word_embeddings=tied,
        )
    )
    _teach(net, chat(made), made)
    net.generation_config = GenerationConfig(eos_token_id=made.eos_token_id, **generation)
    net.save_pretrained(folder)
    made.save_pretrained(folder)


def _teach(net: Any, chat: Chat, made: Any) -> None:
    """Whatever stands before: behind a question's end the answer, its end, and the rambling."""
    asked = chat.render([Turn("user", ["?"])], {}).input_ids
    said = [*chat.answer_ids(ANSWER), *made(RAMBLE, add_special_tokens=False).input_ids]
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    for _ in range(400):
        before = torch.randint(len(made), (8, 12)).tolist()
        ids = torch.tensor([[*row, *asked[-4:], *said] for row in before])
        labels = ids.clone()
        labels[:, : -len(said)] = -100
        loss = net(ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss < 0.01:
            return
    raise AssertionError("it has not learnt to talk")
