"""Names of a stage's parts: keys that a command line can reach, and what is said of others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

NAME = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)  # what a key is to Hydra's grammar


def check_names(given: Iterable[str]) -> None:
    """ValueError for the first that is no name."""
    for name in given:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name: letters, digits, _ and -, not a digit first")


def refusing(make: Callable[[Mapping[str, Any]], Any]) -> BeforeValidator:
    """A validator for an option that `make` makes of a mapping; its ValueError is what is said."""

    def checked(given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        try:
            return make(given)
        except ValueError as error:
            raise PydanticCustomError("names", "{said}", {"said": str(error)}) from error

    return BeforeValidator(checked)
