"""Configuration: where it lives, `check`, and `build`, which builds nothing unchecked.

A YAML node with `_target_` names a class; the class's signature and annotations are its schema.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from affect_mllm.overrides import check_searchpath, placed, prepared
from affect_mllm.targets import misfit, option_types, resolve
from affect_mllm.types import CheckpointError, ConfigError

Node = Mapping[str, Any] | DictConfig

SPECIAL_KEYS = frozenset({"_target_", "_partial_", "_recursive_"})


def assets_dir() -> Path:
    """Folder of the converted default weights: `$AFFECT_ASSETS_DIR` or the user's cache."""
    default = Path.home() / ".cache" / "affect_mllm" / "assets"
    return Path(os.environ.get("AFFECT_ASSETS_DIR") or default)


def cache_dir() -> Path:
    """Folder for what can be made again: `$AFFECT_CACHE_DIR` or the user's cache."""
    return Path(os.environ.get("AFFECT_CACHE_DIR") or Path.home() / ".cache" / "affect_mllm")


def conf_dir() -> Path:
    """The tree of YAML groups."""
    return _shipped("conf", "train.yaml")


def recipes_dir() -> Path:
    """The folder of the recipes, which are scripts to run and never imported."""
    return _shipped("data_recipes", "recipe.py")


def docs_dir() -> Path:
    """The folder of the pages."""
    return _shipped("docs", "privacy.md")


def _shipped(name: str, having: str) -> Path:
    """A folder that lies beside the package in a checkout, and inside it in a wheel."""
    package = Path(__file__).resolve().parent
    for candidate in (package.parent / name, package / name):
        if (candidate / having).is_file():
            return candidate
    raise ConfigError(name, f"no {name}/ beside or inside {package}", fix="reinstall affect-mllm")


def weights_path(name: str) -> str:
    """`asset:NAME` → the converted folder; a local folder or a Hub id is returned as it is.

    Raises CheckpointError when the asset was not fetched yet.
    """
    if not name.startswith("asset:"):
        return name
    folder = assets_dir() / name.removeprefix("asset:")
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            name, f"no such folder: {folder}", fix="run `affect-mllm assets` (or `make demo`)"
        )
    return str(folder)


def compose(name: str, overrides: Sequence[str]) -> DictConfig:
    """`conf/NAME.yaml` with overrides. Hydra's refusals become one ConfigError.

    Values of keys that are paths need no quotes (`overrides.PATHS`); `hydra.searchpath=[FOLDER]`
    adds a folder of YAML groups beside those of `conf/`.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException, MissingConfigException

    given = prepared(placed(overrides, name))
    check_searchpath(given, conf_dir())
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return hydra_compose(name, overrides=given)
    except MissingConfigException as error:  # its own words list a hundred names, a line each
        missing, by = str(error.missing_cfg_file), re.match(r"In '([^']+)'", str(error))
        raise ConfigError(
            "command line" if by is None or by[1] == name else f"{by[1]}.yaml",
            f"there is no {missing}{_near(Path(missing).name, error.options or ())}",
            fix=f"choose one that is there; `affect-mllm {name} --help` lists them",
        ) from error
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        cause = error.__cause__
        detail = f"{error}" + (f" ({cause})" if cause and str(cause) not in str(error) else "")
        raise ConfigError(
            "command line", detail.strip(), fix=f"see {docs_dir() / 'overrides.md'}"
        ) from error


def checked(cfg: DictConfig) -> DictConfig:
    """The config, after `config.check` with the plugins it was given on the command line."""
    check(cfg, plugins=cfg.get("plugins") or [])
    return cfg


def check(cfg: Node, *, plugins: Sequence[str] = (), where: str = "config") -> None:
    """Check every `_target_` node of `cfg` before anything is built.

    A target must be defined inside `affect_mllm`, be on the list of third-party classes, or live
    in a package named in `plugins`; its keys must fit the signature and its values the
    annotations. Raises one ConfigError that lists all problems, each with its config path;
    `where` says whose config it is.
    """
    _plain(cfg, tuple(map(str, plugins)), where)


def build(
    cfg: Node, *, kind: Any = object, plugins: Sequence[str] = (), where: str = "config"
) -> Any:
    """The object that a node describes: the one door through which a YAML makes anything.

    ConfigError if it would be no `kind` (a class, or an annotation of a list or mapping of them).

    What it makes passes `check` first, here, whoever checked before: with the packages that the
    caller admits in `plugins` (from the command line, never from the config of a checkpoint).
    A constructor that gets nodes unbuilt (`_recursive_: false`) builds them through this door too.

    `_partial_: true` gives a `functools.partial`. Lists and mappings reach constructors as plain
    `list` and `dict`. A value that a constructor refuses is a ConfigError.
    """
    admitted = tuple(map(str, plugins))
    plain = _plain(cfg, admitted, where)
    if (found := misfit(kind, plain, admitted)) is not None:
        raise ConfigError(where, found)
    return _made(plain, "", admitted)


def _plain(cfg: Node, plugins: tuple[str, ...], where: str) -> Any:
    """The config as checked plain containers. Nothing in them is resolved again after that."""
    if not OmegaConf.is_config(cfg):
        cfg = OmegaConf.create(dict(cfg))
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(
            where,
            str(error).splitlines()[0],
            fix="give the key that it names a value: KEY=VALUE, or +KEY=VALUE where there is none",
        ) from error
    found = list(_problems(plain, "", plugins))
    if found:
        lines = "".join(f"\n  {place}: {what}" for place, what in found)
        raise ConfigError(where, f"{len(found)} problem(s){lines}")
    return plain


def _made(node: Any, where: str, plugins: tuple[str, ...]) -> Any:
    """The node's object, those inside of it first."""
    if isinstance(node, list):
        return [_made(item, f"{where}[{i}]", plugins) for i, item in enumerate(node)]
    if not isinstance(node, dict):
        return node
    options = {key: value for key, value in node.items() if key not in SPECIAL_KEYS}
    if node.get("_recursive_", True):
        options = {key: _made(each, _under(where, key), plugins) for key, each in options.items()}
    if "_target_" not in node:
        return options
    target = resolve(node["_target_"], plugins)
    if node.get("_partial_"):
        return functools.partial(target, **options)
    try:
        return target(**options)
    except (ValueError, TypeError) as error:
        raise ConfigError(where or target.__qualname__, str(error)) from error


def _problems(node: object, where: str, plugins: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _problems(item, f"{where}[{index}]", plugins)
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        yield from _node_problems(node, where, plugins)
    for key, value in node.items():
        yield from _problems(value, _under(where, key), plugins)


def _node_problems(
    node: dict[str, Any], where: str, plugins: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    try:
        target = resolve(node["_target_"], plugins)
    except ConfigError as error:
        yield where or "(root)", str(error)
        return
    for key in ("_partial_", "_recursive_"):
        if not isinstance(node.get(key, False), bool):
            yield _under(where, key), f"got {node[key]!r}, expected true or false"
    signature = inspect.signature(target)
    given = {key: value for key, value in node.items() if key not in SPECIAL_KEYS}
    for key in node:
        if str(key).startswith("_") and key not in SPECIAL_KEYS:
            yield _under(where, key), f"not allowed; use {', '.join(sorted(SPECIAL_KEYS))}"
    names = [name for name in signature.parameters if name != "self"]
    for key in given:
        if key not in names and not str(key).startswith("_"):
            yield _under(where, key), f"{target.__qualname__} has no such option{_near(key, names)}"
    if not node.get("_partial_"):
        yield from _missing(signature, given, where, target)
    yield from _bad_values(target, given, where)
    if node.get("_recursive_", True):
        hints = option_types(target)
        for key, value in given.items():
            if (found := misfit(hints.get(key, object), value, plugins)) is not None:
                yield _under(where, key), found


def _missing(
    signature: inspect.Signature, given: dict[str, Any], where: str, target: Callable[..., Any]
) -> Iterator[tuple[str, str]]:
    for name, parameter in signature.parameters.items():
        needed = parameter.default is inspect.Parameter.empty and name != "self"
        if needed and name not in given:
            yield _under(where, name), f"missing; {target.__qualname__} needs it"


def _bad_values(
    target: Callable[..., Any], given: dict[str, Any], where: str
) -> Iterator[tuple[str, str]]:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    hints = option_types(target)
    for key, value in given.items():
        if key not in hints:
            continue
        if (needed := _untargeted(hints[key], value)) is not None:
            yield _under(where, key), f"got {value!r}: say what it is, _target_: {needed}"
            continue
        if _has_target(value):
            continue
        try:
            TypeAdapter(
                hints[key], config=ConfigDict(arbitrary_types_allowed=True)
            ).validate_python(value)
        except ValidationError as error:
            reasons = sorted({problem["msg"] for problem in error.errors()})
            yield _under(where, key), f"got {value!r}: {'; '.join(reasons)}"
        except TypeError as error:  # a dataclass given as a plain mapping with wrong keys
            yield _under(where, key), f"got {value!r}: {error}"


def _untargeted(hint: Any, value: object) -> str | None:
    """The class that a mapping without `_target_` should name, where only its object will do.

    An `Annotated` option takes the mapping as well.
    """
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    if typing.get_origin(hint) in (typing.Union, UnionType) and len(parts) == 1:
        return _untargeted(parts[0], value)  # an option that may also be null
    if isinstance(value, list) and len(parts) == 1:
        return next((name for v in value if (name := _untargeted(parts[0], v))), None)
    if not isinstance(value, dict) or "_target_" in value:
        return None
    if typing.get_origin(hint) is dict:
        return next((name for v in value.values() if (name := _untargeted(parts[-1], v))), None)
    if inspect.isclass(hint) and is_dataclass(hint):
        return f"{hint.__module__}.{hint.__qualname__}"
    return None


def _has_target(value: object) -> bool:
    if isinstance(value, dict):
        return "_target_" in value or any(_has_target(item) for item in value.values())
    return isinstance(value, list) and any(_has_target(item) for item in value)


def _under(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _near(key: str, names: Sequence[str]) -> str:
    close = get_close_matches(key, names, 1)
    return f"; did you mean {close[0]}?" if close else f"; it has {', '.join(names) or 'none'}"
