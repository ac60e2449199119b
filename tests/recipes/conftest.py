"""Makes data_recipes/ importable as its scripts see it, and small media to fill folders with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.recipes.kit import Kit

RECIPES = Path(__file__).resolve().parents[2] / "data_recipes"
if str(RECIPES) not in sys.path:
    sys.path.insert(0, str(RECIPES))


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """One small clip, sound and picture, to be copied to wherever a publisher has its media."""
    return Kit(tmp_path_factory.mktemp("kit"))
