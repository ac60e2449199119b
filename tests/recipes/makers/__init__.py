"""A fixture for each recipe, `NAME.py` with a `make`: a few rows as the publisher has them.

Names, texts and numbers are made up; no publisher's content is in here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from tests.recipes.kit import Kit, Made

MAKERS: dict[str, Callable[[Path, Kit], Made]] = {
    found.name: import_module(f"{__name__}.{found.name}").make for found in iter_modules(__path__)
}
