"""An encoder by hash: computed once for the same weights, and known again by their files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from affect_mllm.config import weights_path

# A hash by name and version, made where it is not known: `media.content.ContentIndex.remembered`.
Remember = Callable[[str, str, Callable[[], str]], str]
Held = tuple[tuple[int, int], ...]
WEIGHTS = ("*.safetensors", "*.bin", "*.json")


class Hashed(Protocol):
    """Whose weights are hashed: an encoder."""

    name: str  # the model whose files hold them; "" where there is none

    def settings(self) -> str:
        """What decides its states beside its weights."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Its tensors by name."""
        ...


@dataclass
class Keeping:
    """Whether what was done to the weights left their values as they were."""

    whole: bool = True


class Fingerprint:
    """The hash of an encoder's weights, settings and preprocessing.

    Weights are told by where they lie and how often they were written to. A hash is computed
    again only for others, or other settings, and none at all for those that are as a constructor
    read them from files whose hash `remember` knows by their size and time of change.
    """

    def __init__(self, encoder: Hashed) -> None:
        self._encoder = (encoder,)  # in a tuple: a module must not become its own child
        self._known: tuple[Held, str, str] | None = None  # weights, settings, hash
        self._loaded: Held | None = None

    def of(self, remember: Remember | None = None) -> str:
        """The hash now."""
        now = self._held(), self._encoder[0].settings()
        if self._known is None or self._known[:2] != now:
            source = _version(self._encoder[0].name) if self.is_of_files else None
            if remember is None or source is None:
                digest = self.digest()
            else:
                name = f"encoder {now[1]}"
                digest = remember(name, source, self.digest)
            self._known = (*now, digest)
        return self._known[2]

    def digest(self) -> str:
        """sha256 in hex over settings and tensors, computed anew."""
        encoder = self._encoder[0]
        found = hashlib.sha256(encoder.settings().encode())
        for name, tensor in sorted(encoder.state_dict().items()):
            found.update(name.encode())
            found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return found.hexdigest()

    @property
    def is_of_files(self) -> bool:
        """Whether the weights are as the constructor read them."""
        return self._loaded == self._held()

    def as_loaded(self) -> None:
        """The weights are those of the files now."""
        self._loaded = self._held()

    @contextmanager
    def kept(self) -> Iterator[Keeping]:
        """What happens to the weights inside it leaves the hash, unless it says otherwise."""
        before, keeping = self._held(), Keeping()
        yield keeping
        if not keeping.whole:
            return
        if self._known is not None and self._known[0] == before:
            self._known = (self._held(), *self._known[1:])
        if self._loaded == before:
            self.as_loaded()

    def _held(self) -> Held:
        tensors = self._encoder[0].state_dict().values()
        return tuple((tensor.untyped_storage()._cdata, tensor._version) for tensor in tensors)


def _version(name: str) -> str | None:
    """Which files a model's weights are in, and which libraries read them; None: not known."""
    import timm
    import transformers

    folder = _folder(name)
    if folder is None:
        return None
    files = sorted(path for kind in WEIGHTS for path in folder.glob(kind))
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return f"{torch.__version__} {transformers.__version__} {timm.__version__} {stats}"


def _folder(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    if not name:
        return None
    path = Path(weights_path(name))
    if path.is_dir():
        return path.absolute()
    cached = try_to_load_from_cache(name, "config.json")
    return Path(cached).parent if isinstance(cached, str) else None
