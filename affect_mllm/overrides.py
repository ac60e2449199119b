"""The command line's `key=value` in Hydra's grammar: paths as they are, refusals with what to type.

Hydra reads `=`, commas, brackets, quotes, spaces and letters beyond ASCII in a value as its own, or
not at all. Values of the keys that are paths are put into quotes here, so that a user need not.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from affect_mllm.types import ConfigError

# Keys whose value is a path or an address, by their last name; the group `model` is none.
PLACES = frozenset({"run_dir", "cache_dir"})  # made by a run
PATHS = PLACES | {
    "checkpoint",
    "detector",
    "init_from",
    "manifest",
    "model",
    "prices",
    "url",
    "wheel_tables",
}
# Keys of a config that choose an option of a group of another name.
CHOICES = {"eval": {"model": "ask@model", "baseline": "ask@baseline"}}
SEARCHPATH = "hydra.searchpath"
GROUPS = frozenset({"model"})
_FUNCTIONS = "choice|range|glob|sort|shuffle|tag|str|interval"
_FORMS = re.compile(rf"""null|'.*'|".*"|({_FUNCTIONS})\(.*\)""", re.S)


def quoted(key: str, text: str) -> str:
    """`key='text'`, which Hydra reads as that very text."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return f"{key}={QuotedString(text, Quote.single).with_quotes()}"


def prepared(overrides: Sequence[str], *, sweeping: bool = False) -> list[str]:
    """The overrides as Hydra reads them. Raises ConfigError for one that it cannot.

    With `sweeping` (`-m`) a comma outside a path sweeps; without, several values are refused.
    """
    return [_prepared(text, sweeping) for text in overrides]


def placed(overrides: Sequence[str], name: str) -> list[str]:
    """`model=hf` of an evaluation as Hydra has it: the option `hf` of `ask`, put at `model`."""
    keys = CHOICES.get(name, {})
    parts = [text.partition("=") for text in overrides]
    return [f"{keys.get(key, key)}{equals}{value}" for key, equals, value in parts]


def is_path(key: str) -> bool:
    """Whether the value of a key (`data.manifest`, with or without a plus) is a path."""
    bare = key.lstrip("+")
    return bare not in GROUPS and bare.rpartition(".")[2] in PATHS


def _prepared(text: str, sweeping: bool) -> str:
    key, equals, value = text.partition("=")
    if equals and is_path(key):
        return _path(key, value, sweeping)
    parsed = _parsed(text)
    if parsed is None and key == SEARCHPATH and (one := re.fullmatch(r"\[(.*)\]", value)):
        return f"{key}=[{quoted('', one[1])[1:]}]"
    if parsed is None or not key.strip("+~"):
        raise _unreadable(text)
    if parsed.is_sweep_override() and not sweeping:
        raise ConfigError(
            text,
            "several values",
            expected="one, or a training with -m, which runs each of them",
            fix=f"as one value: {_typed(quoted(key, value))}",
        )
    return text


def _path(key: str, value: str, sweeping: bool) -> str:
    if value.startswith("~"):  # which a shell leaves alone behind `key=`
        value = os.path.expanduser(value)
    parsed = _parsed(f"{key}={value}")
    if parsed is not None and ("${" in value or not value or _FORMS.fullmatch(value)):
        if parsed.is_sweep_override() and not sweeping:
            raise ConfigError(f"{key}={value}", "several values", expected="one path")
        return f"{key}={value}"
    if sweeping and "," in value and not _meant(key, value):
        raise ConfigError(
            f"{key}={value}",
            "a path with a comma, which is not there",
            expected="one path, or several as choice(…)",
            fix=f"several: {_typed(f'{key}=choice({_choices(value)})')}"
            f"\n  or one: {_typed(quoted(key, value))}",
        )
    one = None if parsed is None or parsed.is_sweep_override() else parsed.value()
    if one == value or (isinstance(one, str) and "\\" in value):  # escaped by hand, as Hydra has it
        return f"{key}={value}"
    return quoted(key, value)


def _meant(key: str, value: str) -> bool:
    """Whether a value with a comma is one path: where something is made, or something is."""
    return key.lstrip("+").rpartition(".")[2] in PLACES or Path(value).exists()


def _choices(value: str) -> str:
    parts = (part.strip() for part in value.split(","))
    return ",".join(quoted("", part)[1:] for part in parts)


def _parsed(text: str) -> Any:
    """Hydra's own reading of an override, or None."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None


def _unreadable(text: str) -> ConfigError:
    key, equals, value = text.partition("=")
    with_quotes = quoted(key, value)
    if key and equals and _parsed(with_quotes) is not None:
        return ConfigError(
            text,
            "Hydra's grammar cannot read the value",
            expected="quotes around a value with =, commas, brackets or letters beyond ASCII",
            fix=f"type {_typed(with_quotes)}",
        )
    return ConfigError(
        text,
        "not an override",
        expected="key=value, +key=value or ~key, where a key is names joined by dots",
        fix="such as stages.instruct.trainable.lora.lr=1e-4",
    )


def _typed(text: str) -> str:
    """For a shell: in double quotes, which keep Hydra's readable, or as shlex has it."""
    return shlex.quote(text) if re.search(r'[$`"\\!]', text) else f'"{text}"'


def check_searchpath(overrides: Sequence[str], ours: Path) -> None:
    """Whether the folders of `hydra.searchpath=[…]` are there and add to the groups in `ours`.

    Raises ConfigError for a file that has the place of one of ours: Hydra would not read it.
    """
    for text in overrides:
        if text.lstrip("+").partition("=")[0] == SEARCHPATH:
            found = _parsed(text).value()
            if not isinstance(found, list):
                raise ConfigError(text, "not a list", fix="write hydra.searchpath=[FOLDER]")
            for each in found:
                _check_folder(str(each), ours)


def _check_folder(given: str, ours: Path) -> None:
    if given.startswith("pkg://"):
        return
    folder = Path(given.removeprefix("file://"))
    if not folder.is_dir():
        raise ConfigError(
            SEARCHPATH,
            f"no such folder: {folder}",
            fix="give the folder of your own conf/, from here or from the root",
        )
    for path in sorted(folder.rglob("*.yaml")):
        if (ours / path.relative_to(folder)).is_file():
            raise ConfigError(
                SEARCHPATH,
                f"{path} has the name of one of ours, which is found first",
                fix="give it another name",
            )
