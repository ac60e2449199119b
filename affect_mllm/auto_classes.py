"""Makes transformers' Auto classes know exported models, without importing transformers.

`import affect_mllm` must stay light, and `AutoModel….from_pretrained` must then load an exported
folder whichever of the two packages is imported first. transformers has no entry points for other
packages. So each of its three tables of Auto classes gets its entry when it is imported: at once
where it already was, else through a finder that waits for exactly these three modules.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

AUTO = "transformers.models.auto."
# transformers' module → our function that registers with it, called with the module.
ENTRIES = {
    AUTO + "configuration_auto": "affect_mllm.tools.hf.config:register",
    AUTO + "modeling_auto": "affect_mllm.tools.hf.model:register",
    AUTO + "processing_auto": "affect_mllm.tools.hf.processor:register",
}


def install() -> None:
    """Register now with what is imported, and with the rest when it is."""
    for name in ENTRIES:
        if name in sys.modules:
            _register(sys.modules[name])
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds only the three modules, as the usual finder does, and has their entry added."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in ENTRIES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Then(spec.loader)
        return spec


class _Then(Loader):
    """Another loader, with our entry added after its module has run."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        _register(module)


def _register(module: ModuleType) -> None:
    name, function = ENTRIES[module.__name__].split(":")
    getattr(importlib.import_module(name), function)(module)
