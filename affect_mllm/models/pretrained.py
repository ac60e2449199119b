"""Loading pretrained parts: errors in one form, and models made from their configs alone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from affect_mllm.media.near import near
from affect_mllm.types import CheckpointError

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
ASKED_S = 10.0  # how long the Hub may take to say whether it has a repository
_WEIGHTLESS: ContextVar[bool] = ContextVar("weightless", default=False)


@contextmanager
def loading(name: str, kind: str) -> Iterator[None]:
    """Inside it, a folder or Hub id that cannot be loaded is a CheckpointError naming `name`.

    One that is neither here nor at the Hub is one before anything is loaded.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    expected = f"{kind}: `asset:NAME`, a folder, or a Hub id that can be reached"
    if REPOSITORY.fullmatch(name) and not Path(name).exists():
        ask_hub(name, expected)
    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            name,
            str(error).splitlines()[0] if str(error) else type(error).__name__,
            expected=expected,
        ) from error


def ask_hub(name: str, expected: str) -> None:
    """CheckpointError unless a repository is in the Hub's cache here, or the Hub says it has it.

    It is asked once: loading asks for each of many files, and again where nobody answers, so that
    a slip in a folder's name would be said after minutes.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return
    try:
        HfApi().model_info(name, timeout=ASKED_S)
    except Exception as error:  # that of any HTTP library, by the version of the Hub's client
        meant = near(Path(name), folders=True)
        raise CheckpointError(
            name,
            f"no such folder, and no repository of the Hub that can be had: {error}",
            expected=expected,
            fix=f"{meant} is there: was it meant?" if meant else "correct the name",
        ) from error


@contextmanager
def weightless() -> Iterator[None]:
    """Inside it, `from_pretrained` of any transformers model makes it from its config alone.

    No weights are read: to describe a model (with `torch.device("meta")` around it), or to make
    the modules that weights of another file will fill. The method of the base class is replaced
    for that time, since transformers has no switch that reaches models inside of models.
    """
    from transformers.modeling_utils import PreTrainedModel

    original = PreTrainedModel.__dict__["from_pretrained"]
    PreTrainedModel.from_pretrained = classmethod(_from_config)  # type: ignore[assignment]
    token = _WEIGHTLESS.set(True)
    try:
        yield
    finally:
        _WEIGHTLESS.reset(token)
        PreTrainedModel.from_pretrained = original


def is_weightless() -> bool:
    """Whether weights are not to be read now."""
    return _WEIGHTLESS.get()


def load_tokenizer(path: str) -> Any:
    """The tokenizer of a folder or Hub id; None where no weights are read."""
    from transformers import AutoTokenizer

    return None if is_weightless() else AutoTokenizer.from_pretrained(path)


def _from_config(cls: Any, path: str, *_: Any, **options: Any) -> Any:
    """What `from_pretrained` is inside `weightless`: of its options those about form count."""
    config = options.get("config") or cls.config_class.from_pretrained(path)
    kept = {key: options[key] for key in ("dtype", "attn_implementation") if key in options}
    return cls._from_config(config, **kept)


def cache_keyword(module: Any) -> str:
    """What `module.forward` calls its key-value cache: transformers is renaming it."""
    named = inspect.signature(module.forward).parameters
    return "cache" if "cache" in named else "past_key_values"
