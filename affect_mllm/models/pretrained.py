"""Loading pretrained parts: what transformers raises about a folder becomes one clear error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from affect_mllm.types import CheckpointError


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
