"""Loading pretrained parts: errors in one form, and models made from their configs alone."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from affect_mllm.types import CheckpointError

_WEIGHTLESS: ContextVar[bool] = ContextVar("weightless", default=False)


@contextmanager
def loading(name: str, kind: str) -> Iterator[None]:
    """Inside it, a folder or Hub id that cannot be loaded is a CheckpointError naming `name`."""
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            name,
            str(error).splitlines()[0] if str(error) else type(error).__name__,
            expected=f"{kind}: `asset:NAME`, a folder, or a Hub id that can be reached",
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
