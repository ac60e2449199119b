"""Small tokenizers with the chat formats of Qwen2.5, Llama-3 and SmolLM2.

The templates are written for these tests and produce the published formats: the models' cards and
`tokenizer_config.json` files. Their vocabulary is bytes and a few merges.
"""

from __future__ import annotations

from typing import Any

TURNS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def chatml(system: str) -> str:
    """ChatML with a system message of the template's own where the chat has none."""
    return (
        "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
        + system
        + "<|im_end|>\n' }}{% endif %}"
        + TURNS
    )


QWEN = chatml("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.")
SMOLLM = chatml("You are a helpful AI assistant named SmolLM, trained by Hugging Face")
LLAMA = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + "
    "'<|end_header_id|>\n\n' + (m['content'] | trim) + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)
FORMATS = {
    "qwen25": (QWEN, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], "<|im_end|>", None),
    "smollm2": (SMOLLM, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], "<|im_end|>", None),
    "llama3": (
        LLAMA,
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        "<|eot_id|>",
        "<|begin_of_text|>",
    ),
}
TEXT = ["What does she feel ? ### Human Assistant happy joy sad calm ", "### ### ###"] * 3


def tokenizer(name: str) -> Any:
    """A byte-level BPE tokenizer with the chat format `name`; `###` is one token of it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    template, special, end, bos = FORMATS[name]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=330,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<|pad|>", *special],
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|pad|>",
        eos_token=end,
        bos_token=bos,
        additional_special_tokens=special,
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )
